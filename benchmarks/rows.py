"""What a benchmark says: one row per figure, a table for people, one JSON file for programs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.table import Table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure; `ratio` is value / the same figure of `against`, measured in the same run."""

    name: str
    value: float
    unit: str
    method: str
    against: str = ""
    ratio: float | None = None


def percentile(values: Sequence[float], q: float) -> float:
    """Return a percentile, 0 to 1, by the nearest rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def table(rows: Sequence[Row]) -> Table:
    """Lay rows out for people."""
    laid = Table(title="benchmarks")
    for column in ("name", "value", "unit", "against", "ratio", "method"):
        laid.add_column(column, justify="right" if column in {"value", "ratio"} else "left", overflow="fold")
    for row in rows:
        laid.add_row(row.name, f"{row.value:,.2f}", row.unit, row.against, "" if row.ratio is None else f"{row.ratio:.2f}", row.method)
    return laid
