"""Another number of workers is a restart of that part alone."""

from __future__ import annotations

import psutil
import pytest

from serving.errors import ConfigError
from serving.local import Home
from serving.state import SystemState
from tests.integration.running import Start, eventually, parts_of, row

pytestmark = pytest.mark.integration


def pids(state: SystemState | None) -> dict[str, int | None]:
    assert state is not None
    return {part.name: part.pid for part in state.parts if part.name not in {"kafka", "redis"}}


def environment(pid: int | None) -> tuple[str, str]:
    variables = psutil.Process(pid).environ()
    return variables["PENSTOCK_WORKER"], variables["PENSTOCK_WORKERS"]


def test_workers_grow_and_shrink_while_the_other_parts_go_on(start: Start, own: Home) -> None:
    first = pids(start("steady", sharded=2))
    assert {name: environment(pid) for name, pid in first.items()} == {"steady": ("0", "1"), "wide-0": ("0", "2"), "wide-1": ("1", "2")}

    grown = pids(start("steady", sharded=4))
    assert list(grown) == ["steady", "wide-0", "wide-1", "wide-2", "wide-3"]
    assert grown["steady"] == first["steady"]
    assert not {grown["wide-0"], grown["wide-1"]} & {first["wide-0"], first["wide-1"]}
    assert environment(grown["wide-0"]) == ("0", "4")
    assert len(parts_of(own)) == 5
    assert row(own, "steady").restarts == 0

    shrunk = pids(start("steady", sharded=1))
    assert list(shrunk) == ["steady", "wide-0"]
    assert shrunk["steady"] == first["steady"]
    assert sorted(parts_of(own)) == sorted(pid for pid in shrunk.values() if pid is not None)
    assert not (own.run / "wide-3.port").exists()


def test_another_part_is_still_another_system(start: Start) -> None:
    start("steady", sharded=1)
    with pytest.raises(ConfigError, match="runs with the parts steady wide .now steady deaf wide."):
        start("steady", "deaf", sharded=1)


def test_a_worker_that_is_killed_is_the_same_worker_again(start: Start, own: Home) -> None:
    first = pids(start(sharded=2))
    psutil.Process(first["wide-1"]).kill()
    eventually(lambda: row(own, "wide-1").ready and row(own, "wide-1").pid != first["wide-1"])
    assert environment(row(own, "wide-1").pid) == ("1", "2")
    assert row(own, "wide-0").pid == first["wide-0"]
