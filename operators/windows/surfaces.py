"""Impressions by surface, decayed: a few columns a row, which surface is in which column differs from row to row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.windows.arrays import grown
from operators.windows.decay import DAY_MS, DecayedTable
from schemas.features import MAX_SURFACES

SURFACE_HALF_LIFE_MS = DAY_MS
OTHER = ""


class SurfaceTable:
    """Decayed impressions of a row by surface; column 0 is OTHER: what has no surface, and what had to make room.

    Parameters
    ----------
    capacity
        Rows to begin with.
    """

    def __init__(self, *, capacity: int) -> None:
        self.table = DecayedTable(half_lives_ms=np.full(MAX_SURFACES, SURFACE_HALF_LIFE_MS, dtype=np.int64), capacity=capacity)
        self._columns: dict[int, dict[str, int]] = {}

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self.table.sums = grown(self.table.sums, rows)

    def clear(self, row: int) -> None:
        """Empty a row."""
        self._columns.pop(row, None)
        self.table.sums[row] = 0

    def find(self, row: int, surface: str) -> int:
        """Return the column of a surface, -1 where `make` must make room first."""
        columns = self._columns.get(row)
        if columns is None:
            columns = self._columns[row] = {OTHER: 0}
        column = columns.get(surface)
        if column is None:
            if len(columns) == MAX_SURFACES:
                return -1
            column = columns[surface] = len(columns)
        return column

    def make(self, row: int, surface: str) -> int:
        """Fold the surface with the fewest impressions (by name where even) into OTHER; return its column. The sums must be up to date."""
        columns, sums = self._columns[row], self.table.sums[row]
        _, smallest = min((sums[column], name) for name, column in columns.items() if name != OTHER)
        column = columns.pop(smallest)
        sums[0] += sums[column]
        sums[column] = 0
        columns[surface] = column
        return column

    def values(self, row: int, values: NDArray[np.float64]) -> dict[str, float]:
        """Return by name what is not 0; `values` as of `table.values` for this row, shape (MAX_SURFACES,)."""
        columns = self._columns.get(row)
        if columns is None:
            return {}
        listed = values.tolist()
        return {name: listed[column] for name, column in columns.items() if listed[column] > 0}

    def snapshot(self, row: int) -> dict[str, float]:
        """Return the scaled sums of a row by name."""
        sums = self.table.sums[row].tolist()
        return {name: sums[column] for name, column in self._columns.get(row, {}).items()}

    def restore(self, row: int, sums: dict[str, float]) -> None:
        """Take back what `snapshot` returned, into an empty row."""
        if sums:
            self._columns[row] = {name: column for column, name in enumerate(sums)}
            self.table.sums[row, : len(sums)] = list(sums.values())
