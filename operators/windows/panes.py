"""One-minute panes of many keys at once: a ring of counters a row, cost per event independent of the window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.windows.arrays import grown
from schemas.features import N_COUNTERS, PANES, Pane

Ints = NDArray[np.int64]

NEVER = -(2**40)
_SLOTS = np.arange(PANES, dtype=np.int64)
_GROUP = np.int64(1) << np.int64(33)


class PaneTable:
    """Totals and the panes of the last PANES minutes, dense rows.

    A row's panes are those of the minutes (newest − PANES, newest], newest being the latest minute that the row has an event of; what
    comes later than that is in the totals, and counted as late. So the panes that remain do not depend on the order of arrival.
    A minute in which more was taken back than given holds less than 0; what comes out is settled.

    Parameters
    ----------
    capacity
        Rows to begin with; `reserve` makes more. A row takes 8 · N_COUNTERS · (PANES + 1) bytes: 3.5 KB.

    Attributes
    ----------
    totals : (capacity, N_COUNTERS) int64
    panes : (capacity, PANES, N_COUNTERS) int64
        Minute m is in slot m mod PANES.
    newest : (capacity,) int64
        Latest minute; NEVER where there was none.
    late : (capacity,) int64
        Events older than every pane when they came.

    Examples
    --------
    >>> table = PaneTable(capacity=1)
    >>> def add(minute: int) -> None:
    ...     one = np.array([0])
    ...     table.add(one, np.array([minute]), one, one, one + 1)
    >>> for minute in (100, 101, 130, 100):
    ...     add(minute)
    >>> int(table.totals[0, 0]), int(table.late[0]), [pane.minute for pane in table.panes_of(np.array([0]))[0]]
    (4, 1, [101, 130])
    """

    def __init__(self, *, capacity: int = 1_024) -> None:
        self.totals: Ints = np.zeros((capacity, N_COUNTERS), dtype=np.int64)
        self.panes: Ints = np.zeros((capacity, PANES, N_COUNTERS), dtype=np.int64)
        self.newest: Ints = np.full(capacity, NEVER, dtype=np.int64)
        self.late: Ints = np.zeros(capacity, dtype=np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self.totals = grown(self.totals, rows, 0)
        self.panes = grown(self.panes, rows, 0)
        self.newest = grown(self.newest, rows, NEVER)
        self.late = grown(self.late, rows, 0)

    def clear(self, row: int) -> None:
        """Empty a row."""
        self.totals[row] = 0
        self.panes[row] = 0
        self.newest[row] = NEVER
        self.late[row] = 0

    def add(self, rows: Ints, minutes: Ints, pairs: Ints, counters: Ints, amounts: Ints) -> None:
        """Count events, in order.

        Parameters
        ----------
        rows, minutes
            (n,) int64: per event and row that it counts for, the row and the event's minute.
        pairs, counters, amounts
            (m,) int64: what to add: to which of the n, which counter, how much.
        """
        if len(rows) == 0:
            return
        self._advance(rows, minutes)
        at_rows, at_minutes = rows[pairs], minutes[pairs]
        np.add.at(self.totals.reshape(-1), at_rows * N_COUNTERS + counters, amounts)
        kept = at_minutes > self.newest[at_rows] - PANES
        if not kept.all():
            at_rows, at_minutes, counters, amounts = at_rows[kept], at_minutes[kept], counters[kept], amounts[kept]
        np.add.at(self.panes.reshape(-1), (at_rows * PANES + at_minutes % PANES) * N_COUNTERS + counters, amounts)

    def panes_of(self, rows: Ints) -> list[list[Pane]]:
        """Return the panes of each row that are not empty, oldest first and settled."""
        if len(rows) == 0:
            return []
        minutes = self.newest[rows, None] + (_SLOTS - (PANES - 1))
        counts = settled(self.panes[rows[:, None], minutes % PANES])
        filled = counts.any(axis=2)
        panes = list(map(Pane, minutes[filled].tolist(), counts[filled].tolist()))
        ends = np.cumsum(filled.sum(axis=1)).tolist()
        return [panes[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def _advance(self, rows: Ints, minutes: Ints) -> None:
        """Count the late, move `newest`, and empty the slots that it enters."""
        order = np.argsort(rows, kind="stable")
        sorted_rows, sorted_minutes = rows[order], minutes[order]
        starts = np.flatnonzero(np.concatenate(([True], sorted_rows[1:] != sorted_rows[:-1])))
        touched = sorted_rows[starts]
        was = self.newest[touched]
        # Latest minute of the row before each event: a running maximum that cannot leak from one row into the next.
        lift = np.repeat(np.arange(len(starts)) * _GROUP, np.diff(np.append(starts, len(rows))))
        running = sorted_minutes + lift
        running[starts] = np.maximum(sorted_minutes[starts], np.maximum(was, 0)) + lift[starts]
        running = np.maximum.accumulate(running) - lift
        before = np.empty_like(running)
        before[1:] = running[:-1]
        before[starts] = was
        np.add.at(self.late, sorted_rows[sorted_minutes <= before - PANES], 1)
        now = running[np.append(starts[1:], len(rows)) - 1]
        moved = np.flatnonzero(now > was)
        new, old = now[moved, None], was[moved, None]
        at, slots = np.nonzero(new - (new - _SLOTS) % PANES > old)
        self.panes[touched[moved][at], slots] = 0
        self.newest[touched] = now


def settled(counts: Ints) -> Ints:
    """Return counts of minutes with none below 0: what was taken back is taken from the newest minutes that hold any, as far as they do.

    Parameters
    ----------
    counts
        (n, minutes, N_COUNTERS) int64, oldest minute first.

    Examples
    --------
    >>> settled(np.array([[[2], [1], [0], [-2], [1]]])).tolist()
    [[[1], [0], [0], [0], [1]]]
    """
    if counts.size == 0 or counts.min() >= 0:
        return counts
    counts = counts.copy()
    for minute in range(counts.shape[1] - 1, -1, -1):
        owed = np.minimum(counts[:, minute], 0)
        counts[:, minute] -= owed
        if minute > 0:
            counts[:, minute - 1] += owed
    return counts
