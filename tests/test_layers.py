"""Which module may import which, and what is done in one place only."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dataflows", "operators", "serving", "schemas")


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Each module of ours, and what it imports; an import for types alone counts too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_every_module_is_looked_at(imports: dict[str, set[str]]) -> None:
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert len(imports) == len(files)


def test_no_module_imports_itself_by_way_of_others(imports: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


@pytest.mark.parametrize("call", [r"(?<!class )\bConsumer\(", r"\.offsets_for_times\(", r"\.fatal\(\) and "])
def test_consumers_are_made_and_faults_judged_in_one_place_inside_flows_and_one_outside(call: str) -> None:
    places = {"dataflows/kafka/clients.py", "serving/broker.py", "schemas/broker_errors.py"}
    found = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(call, path.read_text())
    }
    assert found
    assert found <= places


@pytest.mark.parametrize("call", [r"\b(now|utcnow|today)\(\)", r"default_rng\(\)", r"np\.random\.(?!default_rng\(|Generator)"])
def test_operators_ask_no_clock_and_draw_no_unseeded_chance(call: str) -> None:
    assert not [path.relative_to(ROOT).as_posix() for path in (ROOT / "operators").rglob("*.py") if re.search(call, path.read_text())]
