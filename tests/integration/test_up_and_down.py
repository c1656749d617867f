"""The supervisor over real processes: tiny parts with the real shell, the real broker and the real Redis of the session."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from serving.errors import ConfigError, ServiceError
from serving.local import Home, LocalKafka, LocalRedis
from serving.parts import PartSpec
from serving.state import read_state, supervisor_mark
from serving.system import Wanted, down, up
from tests.integration.running import PARTS, Start, came_back, eventually, parts_of, row

pytestmark = pytest.mark.integration


def test_parts_come_up_ready_and_go_down_without_a_trace(start: Start, own: Home) -> None:
    state = start("steady-0", "steady-1")

    assert state is not None
    assert state.ready
    assert [part.name for part in state.parts] == ["kafka", "redis", "steady-0", "steady-1"]
    eventually(lambda: row(own, "steady-0").last_progress_s is not None)
    steady = row(own, "steady-0")
    assert steady.status == "ready"
    assert steady.lag == 7
    assert steady.memory_mb is not None
    assert 20 < steady.memory_mb < 200
    assert (own.recovery / "steady-0").stat().st_mode & 0o077 == 0

    assert down(own) == ["steady-0", "steady-1"]
    assert not parts_of(own)
    assert supervisor_mark(own) is None
    assert read_state(own) is None


def test_a_killed_part_is_started_again_at_once_and_goes_on_where_it_was(start: Start, own: Home) -> None:
    start("steady")
    pid = row(own, "steady").pid
    assert pid is not None
    eventually((own.recovery / "steady").is_dir)

    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    eventually(lambda: parts_of(own) not in ([], [pid]))
    assert time.monotonic() - killed_at < 1.0
    eventually(lambda: row(own, "steady").ready and row(own, "steady").pid != pid)

    again = row(own, "steady")
    assert again.restarts == 1
    assert again.last_words.startswith("killed by SIGKILL")


def test_a_part_that_cannot_start_is_named_with_its_last_words_and_nothing_stays(start: Start, own: Home) -> None:
    with pytest.raises(ServiceError, match="broken crash-looping .*RuntimeError: no such luck"):
        start("steady", "broken")

    assert not parts_of(own)
    assert supervisor_mark(own) is None


def test_a_crash_loop_does_not_disturb_the_others(start: Start, own: Home) -> None:
    start("steady", "broken", wait=False)

    eventually(lambda: row(own, "broken").status == "crash-looping" and row(own, "steady").ready)
    assert "no such luck" in row(own, "broken").last_words


def test_up_twice_changes_nothing_and_up_with_other_settings_is_refused(start: Start, own: Home) -> None:
    first = start("steady")
    second = start("steady")

    assert first is not None
    assert second is not None
    assert [part.pid for part in first.parts] == [part.pid for part in second.parts]
    with pytest.raises(ConfigError, match="penstock down"):
        start("steady", "deaf")
    assert supervisor_mark(own) is not None


def test_a_setting_of_the_parts_that_changed_is_named_with_both_values_and_a_secret_without(
    start: Start, own: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_TOKEN_SECRET", "swordfish")
    start("steady")
    start("steady")
    monkeypatch.setenv("PENSTOCK_DEFAULT_AGE", "18")
    monkeypatch.setenv("PENSTOCK_TOKEN_SECRET", "marlin")
    with pytest.raises(ConfigError) as caught:
        start("steady")
    assert caught.value.got == "one that runs with another PENSTOCK_TOKEN_SECRET, PENSTOCK_DEFAULT_AGE='17' (now '18')"
    refused = command(own, "up")
    assert refused.returncode == 2
    assert "PENSTOCK_DEFAULT_AGE='17' (now '18')" in " ".join(refused.stderr.split())
    assert "swordfish" not in (own.run / "plan.json").read_text() + refused.stderr
    down(own)
    start("steady")


def test_status_and_up_refuse_an_environment_that_means_another_system(start: Start, own: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    start("steady")
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://me:hunter2@127.0.0.1:1/0")
    for words in (("status",), ("status", "--json"), ("up",), ("feed", "42")):
        refused = command(own, *words)
        assert refused.returncode == 2
        assert "PENSTOCK_REDIS_URL='redis://127.0.0.1:1/0'" in refused.stderr
        assert "hunter2" not in refused.stderr


def test_parts_left_by_a_killed_supervisor_are_found_by_the_next_command(start: Start, own: Home) -> None:
    start("steady")
    orphan = row(own, "steady").pid
    mark = supervisor_mark(own)
    assert mark is not None
    os.kill(mark.pid, signal.SIGKILL)
    eventually(lambda: supervisor_mark(own) is None)
    assert parts_of(own) == [orphan]

    start("steady")
    assert row(own, "steady").pid != orphan
    assert len(parts_of(own)) == 1

    mark = supervisor_mark(own)
    assert mark is not None
    os.kill(mark.pid, signal.SIGKILL)
    eventually(lambda: supervisor_mark(own) is None)
    assert down(own) == ["steady"]
    assert not parts_of(own)


def test_a_part_that_is_deaf_to_sigterm_is_killed(start: Start, own: Home) -> None:
    start("deaf")

    began = time.monotonic()
    assert down(own) == ["deaf"]
    assert time.monotonic() - began < 5.0
    assert not parts_of(own)


def command(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("penstock")
    env = {**os.environ, "PENSTOCK_HOME": str(home.root)}
    return subprocess.run([script, *words], env=env, capture_output=True, text=True, timeout=120, check=False)


def test_status_says_where_the_system_is_to_programs_and_to_people(start: Start, own: Home, kafka: str, own_redis: str) -> None:
    assert command(own, "status").returncode == 1

    start("steady")
    said = json.loads(command(own, "status", "--json").stdout)
    assert said["bootstrap_servers"] == kafka
    assert said["redis_url"] == own_redis
    assert {"name", "pid", "ready", "lag", "memory_mb", "restarts", "last_progress_s", "status"} <= said["parts"][0].keys()
    assert said["warnings"] == []
    assert "steady" in command(own, "status").stdout
    assert '"event":"ready"' in command(own, "logs", "steady", "--json").stdout
    assert command(own, "logs", "nobody").returncode == 2
    assert "stopped: steady" in command(own, "down").stdout
    assert "nothing was running" in command(own, "down").stdout


def test_a_store_that_is_away_is_named_at_once_and_one_that_goes_away_is_not_ready(
    own: Home, kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PARTS))
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", f"t{uuid.uuid4().hex[:8]}.")
    parts = (PartSpec("steady", "tiny_steady"),)
    for servers, url, where in (
        (kafka, "redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("127.0.0.1:1", "redis://127.0.0.1:1/0", "127.0.0.1:1"),
    ):
        began = time.monotonic()
        with pytest.raises(ServiceError, match=f"got .*refused.*, at {where}; start it, or correct --"):
            up(own, Wanted(parts=parts, bootstrap_servers=servers, redis_url=url, stop_within_s=1.0), lambda _text: None)
        assert time.monotonic() - began < 5.0

    store = LocalRedis(Home(tmp_path / "store").create(), port=0)
    try:
        url = store.start()
        up(own, Wanted(parts=parts, bootstrap_servers=kafka, redis_url=url, stop_within_s=1.0), lambda _text: None)
        assert (row(own, "redis").status, row(own, "kafka").status) == ("ready", "ready")
    finally:
        store.stop()
    eventually(lambda: row(own, "redis").status == "unreachable")
    assert "refused" in row(own, "redis").last_words
    assert row(own, "steady").ready


def test_an_interrupted_start_leaves_nothing_running(own: Home, kafka: str, own_redis: str) -> None:
    words = ["up", "--only", "ingest", "--bootstrap-servers", kafka, "--redis-url", own_redis]
    env = {**os.environ, "PENSTOCK_HOME": str(own.root), "PENSTOCK_TOPIC_PREFIX": f"t{uuid.uuid4().hex[:8]}."}
    script = Path(sys.executable).with_name("penstock")
    process = subprocess.Popen([script, *words], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: bool(parts_of(own)))
    process.terminate()

    assert process.wait(timeout=30) != 0
    assert not parts_of(own)
    assert supervisor_mark(own) is None


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[Home]:
    """A system of a broker and a Redis of its own, without parts."""
    home = Home(tmp_path / "home").create()
    services = (LocalKafka(home, port=0), LocalRedis(home, port=0))
    try:
        for service in services:
            service.start()
        up(home, Wanted(parts=()), lambda _text: None)
        yield home
    finally:
        stopped = down(home)
    assert stopped == ["kafka", "redis"]
    assert not any(service.running() for service in services)


def test_our_own_broker_and_redis_are_kept_running_too(own_services: Home) -> None:
    before = read_state(own_services)
    assert before is not None
    pids = {part.name: part.pid or 0 for part in before.parts}
    assert list(pids) == ["kafka", "redis"]
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    for name, pid in pids.items():
        eventually(partial(came_back, own_services, name, pid), within_s=40)
        assert row(own_services, name).restarts == 1
    after = read_state(own_services)
    assert after is not None
    assert after.bootstrap_servers == before.bootstrap_servers


def is_silent(home: Home, name: str) -> bool:
    return row(home, name).status == "silent"


def test_a_broker_and_a_redis_that_hang_are_not_ready_and_are_killed_and_started_again(own_services: Home) -> None:
    pids = {name: row(own_services, name).pid or 0 for name in ("kafka", "redis")}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    for name in pids:
        eventually(partial(is_silent, own_services, name))
        assert not row(own_services, name).ready
        assert row(own_services, name).last_words
    assert all(psutil.pid_exists(pid) for pid in pids.values())
    for name, pid in pids.items():
        eventually(partial(came_back, own_services, name, pid), within_s=60)
        assert row(own_services, name).restarts == 1
        assert "did not answer for 15 s" in row(own_services, name).last_words


def test_a_pause_that_ends_kills_nothing(own_services: Home) -> None:
    pid = row(own_services, "redis").pid or 0
    os.kill(pid, signal.SIGSTOP)
    eventually(partial(is_silent, own_services, "redis"))
    os.kill(pid, signal.SIGCONT)
    eventually(lambda: row(own_services, "redis").ready)
    assert (row(own_services, "redis").pid, row(own_services, "redis").restarts, row(own_services, "redis").last_words) == (pid, 0, "")
