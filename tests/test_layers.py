"""Which module may import which: no circle anywhere."""

from __future__ import annotations

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
