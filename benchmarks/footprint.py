"""Resident memory of each part after the load, and of the whole."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row
from benchmarks.system import System


def rows(system: System) -> Iterator[Row]:
    """Read what the supervisor last saw."""
    parts = system.state().parts
    for part in parts:
        yield Row(name=f"memory {part.name}", value=part.memory_mb or 0.0, unit="MiB", method="resident, after the loads of this run")
    total = sum(part.memory_mb or 0.0 for part in parts)
    yield Row(name="memory in all", value=total, unit="MiB", method="sum of resident memory, broker and Redis included")
