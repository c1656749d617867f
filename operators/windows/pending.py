"""Events on their way into the tables: columns that grow event by event and are applied at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.windows.counting import increments
from operators.windows.decay import DECAYED
from schemas.features import N_COUNTERS
from schemas.telemetry import Event

Ints = NDArray[np.int64]

_NONE = -1
_DECAYED_OF = np.array([[i for i, one in enumerate(DECAYED) if one.counter == counter] or [_NONE] * 4 for counter in range(N_COUNTERS)])
"""(N_COUNTERS, 4): the decayed sums that a counter moves."""


class Columns(NamedTuple):
    """A batch as columns.

    Attributes
    ----------
    rows, at_ms
        (n,) int64: per pair of event and entity, the row and the event's time.
    counted
        (c,) int64: the pairs whose event adds to a counter.
    pairs, counters, amounts
        (m,) int64: what is added: at which of the `counted`, which counter, how much.
    decayed_pairs, decayed_columns, decayed_amounts
        (d,) int64: what is added to the decayed sums: of which pair, to which sum, how much.
    surface_pairs, surface_columns
        (s,) int64: the same for impressions by surface.
    """

    rows: Ints
    at_ms: Ints
    counted: Ints
    pairs: Ints
    counters: Ints
    amounts: Ints
    decayed_pairs: Ints
    decayed_columns: Ints
    decayed_amounts: Ints
    surface_pairs: Ints
    surface_columns: Ints


class Pending:
    """Collects events and the rows that each counts for, in order."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._per_event: list[int] = []
        self._at_ms: list[int] = []
        self._adds: list[int] = []
        self._counters: list[int] = []
        self._amounts: list[int] = []
        self._surface_pairs: list[int] = []
        self._surface_columns: list[int] = []

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._adds)

    def event(self, event: Event, rows: tuple[int, ...], surface_column: int = _NONE) -> None:
        """Take in an event; `surface_column` is where it counts as an impression of the first of its rows."""
        adds = increments(event)
        for counter, amount in adds:
            self._counters.append(counter)
            self._amounts.append(amount)
        self._adds.append(len(adds))
        if surface_column != _NONE:
            self._surface_pairs.append(len(self._rows))
            self._surface_columns.append(surface_column)
        self._at_ms.append(event.timestamp_ms)
        self._rows += rows
        self._per_event.append(len(rows))

    def columns(self) -> Columns:
        """Return what was collected."""
        events = np.repeat(np.arange(len(self._adds)), self._per_event)
        adds = np.array(self._adds, dtype=np.int64)
        first = np.cumsum(adds) - adds
        counted = np.flatnonzero(adds[events] > 0)
        of_event = events[counted]
        pairs = np.repeat(np.arange(len(counted)), adds[of_event])
        # The n-th of a pair's additions is the n-th of its event's.
        starts = np.cumsum(adds[of_event]) - adds[of_event]
        places = np.arange(len(pairs)) - np.repeat(starts - first[of_event], adds[of_event])
        counters = np.array(self._counters, dtype=np.int64)[places]
        amounts = np.array(self._amounts, dtype=np.int64)[places]
        sums = _DECAYED_OF[counters]
        decaying = np.flatnonzero(sums[:, 0] != _NONE)
        return Columns(
            rows=np.array(self._rows, dtype=np.int64),
            at_ms=np.array(self._at_ms, dtype=np.int64)[events],
            counted=counted,
            pairs=pairs,
            counters=counters,
            amounts=amounts,
            decayed_pairs=np.repeat(counted[pairs[decaying]], sums.shape[1]),
            decayed_columns=sums[decaying].reshape(-1),
            decayed_amounts=np.repeat(amounts[decaying], sums.shape[1]),
            surface_pairs=np.array(self._surface_pairs, dtype=np.int64),
            surface_columns=np.array(self._surface_columns, dtype=np.int64),
        )
