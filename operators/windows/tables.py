"""The arrays of all entities: counters, panes, decayed sums, surfaces, a row each."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.windows.arrays import grown, narrowed, widened
from operators.windows.decay import HALF_LIVES_MS, DecayedTable
from operators.windows.panes import PaneTable
from operators.windows.pending import Columns
from operators.windows.surfaces import SurfaceTable
from schemas.features import N_COUNTERS, PANE_MS, Decayed, Pane

Ints = NDArray[np.int64]


class SavedRows(msgspec.Struct, array_like=True, gc=False):
    """Rows as they are saved, n of them, column by column: numbers that come back bit for bit.

    `numbers` is (6, n) int64: version, updated_ms, newest minute, late, changed or not, number of panes; `totals` (n, N_COUNTERS)
    int64; `sums` (n, N_DECAYED) float64; `slots` (uint8) and `panes` (uint32, or int64 where a number is too large) one after the other
    for all rows.
    """

    keys: list[str]
    numbers: bytes
    totals: bytes
    slots: bytes
    panes: bytes
    sums: bytes
    surfaces: list[dict[str, float]]


class Published(msgspec.Struct, gc=False):
    """What is published of a row, beside its name."""

    version: int
    updated_ms: int
    totals: list[int]
    panes: list[Pane]
    decayed: Decayed
    late: int
    surfaces: dict[str, float]


class EntityTables:
    """Everything that is counted of entities, by dense row.

    Attributes
    ----------
    version : (capacity,) int64
        Events taken in.
    updated_ms : (capacity,) int64
        Time of the latest event.
    changed : (capacity,) bool
        Whether events came since the row was last published.
    """

    def __init__(self, *, capacity: int = 1_024) -> None:
        self.panes = PaneTable(capacity=capacity)
        self.decayed = DecayedTable(half_lives_ms=HALF_LIVES_MS, capacity=capacity)
        self.surfaces = SurfaceTable(capacity=capacity)
        self.version: Ints = np.zeros(capacity, dtype=np.int64)
        self.updated_ms: Ints = np.zeros(capacity, dtype=np.int64)
        self.changed: NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows."""
        if rows > len(self.version):
            self.panes.reserve(rows)
            self.decayed.sums = grown(self.decayed.sums, rows)
            self.surfaces.reserve(rows)
            self.version = grown(self.version, rows)
            self.updated_ms = grown(self.updated_ms, rows)
            self.changed = grown(self.changed, rows)

    def clear(self, row: int) -> None:
        """Empty a row."""
        self.panes.clear(row)
        self.decayed.sums[row] = 0
        self.surfaces.clear(row)
        self.version[row] = 0
        self.updated_ms[row] = 0
        self.changed[row] = False

    def add(self, batch: Columns) -> None:
        """Take in events."""
        rows, at_ms = batch.rows, batch.at_ms
        self.panes.add(rows[batch.counted], at_ms[batch.counted] // PANE_MS, batch.pairs, batch.counters, batch.amounts)
        np.add.at(self.version, rows, 1)
        self.changed[rows] = True
        touched = np.unique(rows)
        was_ms = self.updated_ms[touched]
        np.maximum.at(self.updated_ms, rows, at_ms)
        now_ms = self.updated_ms[touched]
        self.decayed.move(touched, was_ms, now_ms)
        self.surfaces.table.move(touched, was_ms, now_ms)
        shown = np.ones(len(batch.surface_pairs), dtype=np.int64)
        for table, pairs, columns, amounts in (
            (self.decayed, batch.decayed_pairs, batch.decayed_columns, batch.decayed_amounts),
            (self.surfaces.table, batch.surface_pairs, batch.surface_columns, shown),
        ):
            table.add(rows[pairs], columns, at_ms[pairs], self.updated_ms[rows[pairs]], amounts)

    def published(self, rows: Ints) -> list[Published]:
        """Return the full values of rows, as of each row's latest event; where more was taken back than is known, 0."""
        latest_ms = self.updated_ms[rows]
        times = latest_ms.tolist()
        sums = np.maximum(self.decayed.values(rows, latest_ms), 0.0).tolist()
        by_surface = self.surfaces.table.values(rows, latest_ms)
        return [
            Published(version, at_ms, totals, panes, Decayed(at_ms, values), late, self.surfaces.values(row, surfaces))
            for row, version, at_ms, totals, panes, values, late, surfaces in zip(
                rows.tolist(),
                self.version[rows].tolist(),
                times,
                np.maximum(self.panes.totals[rows], 0).tolist(),
                self.panes.panes_of(rows),
                sums,
                self.panes.late[rows].tolist(),
                by_surface,
                strict=True,
            )
        ]

    def save(self, keys: list[str], rows: list[int]) -> SavedRows:
        """Return rows as they are to be saved."""
        panes = self.panes.panes[rows]
        filled = panes.any(axis=2)
        numbers = np.empty((6, len(rows)), dtype=np.int64)
        numbers[0] = self.version[rows]
        numbers[1] = self.updated_ms[rows]
        numbers[2] = self.panes.newest[rows]
        numbers[3] = self.panes.late[rows]
        numbers[4] = self.changed[rows]
        numbers[5] = filled.sum(axis=1)
        return SavedRows(
            keys,
            numbers.tobytes(),
            self.panes.totals[rows].tobytes(),
            np.nonzero(filled)[1].astype(np.uint8).tobytes(),
            narrowed(panes[filled]),
            self.decayed.sums[rows].tobytes(),
            [self.surfaces.snapshot(row) for row in rows],
        )

    def put_back(self, rows: list[int], saved: SavedRows) -> None:
        """Put saved rows into empty ones."""
        n = len(rows)
        version, updated_ms, newest, late, changed, filled = np.frombuffer(saved.numbers, dtype=np.int64).reshape(6, n)
        self.version[rows] = version
        self.updated_ms[rows] = updated_ms
        self.panes.newest[rows] = newest
        self.panes.late[rows] = late
        self.changed[rows] = changed != 0
        self.panes.totals[rows] = np.frombuffer(saved.totals, dtype=np.int64).reshape(n, N_COUNTERS)
        slots = np.frombuffer(saved.slots, dtype=np.uint8)
        self.panes.panes[np.repeat(rows, filled), slots] = widened(saved.panes, len(slots) * N_COUNTERS).reshape(-1, N_COUNTERS)
        self.decayed.sums[rows] = np.frombuffer(saved.sums).reshape(n, -1)
        for row, sums in zip(rows, saved.surfaces, strict=True):
            self.surfaces.restore(row, sums)
