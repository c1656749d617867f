"""Events on their way into the tables: columns that grow event by event and are applied at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.windows.counting import COUNTED, completion_permille, watch_ms
from operators.windows.decay import DECAYED
from schemas.features import N_COUNTERS, Counter
from schemas.telemetry import Event, InteractionType

Ints = NDArray[np.int64]

_NONE = -1
_CODES: dict[InteractionType, int] = {kind: int(COUNTED.get(kind, _NONE)) for kind in InteractionType}
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
    decayed_pairs, decayed_columns
        (d,) int64: what is added to the decayed sums: of which pair, to which sum.
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
    surface_pairs: Ints
    surface_columns: Ints


class Pending:
    """Collects events and the rows that each counts for, in order."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._per_event: list[int] = []
        self._at_ms: list[int] = []
        self._codes: list[int] = []
        self._watches: list[tuple[int, int, int]] = []
        self._surface_pairs: list[int] = []
        self._surface_columns: list[int] = []

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._codes)

    def event(self, event: Event, rows: tuple[int, ...], surface_column: int = _NONE) -> None:
        """Take in an event; `surface_column` is where it counts as an impression of the first of its rows."""
        code = _CODES[event.interaction_type]
        if code == Counter.WATCHES:
            watched_ms = watch_ms(event.value)
            self._watches.append((len(self._codes), watched_ms, completion_permille(watched_ms, event.duration_ms, event.completed)))
        if surface_column != _NONE:
            self._surface_pairs.append(len(self._rows))
            self._surface_columns.append(surface_column)
        self._at_ms.append(event.timestamp_ms)
        self._codes.append(code)
        self._rows += rows
        self._per_event.append(len(rows))

    def columns(self) -> Columns:
        """Return what was collected."""
        events = np.repeat(np.arange(len(self._codes)), self._per_event)
        codes = np.array(self._codes, dtype=np.int64)[events]
        counted = np.flatnonzero(codes != _NONE)
        codes_counted = codes[counted]
        pairs, counters, amounts = np.arange(len(counted)), codes_counted, np.ones(len(counted), dtype=np.int64)
        watching = np.flatnonzero(codes_counted == Counter.WATCHES)
        if len(watching) > 0:
            watches = np.array(self._watches, dtype=np.int64)
            which = np.searchsorted(watches[:, 0], events[counted[watching]])
            pairs = np.concatenate([pairs, watching, watching])
            counters = np.concatenate(
                [counters, np.full(len(watching), Counter.WATCH_MS), np.full(len(watching), Counter.COMPLETION_PERMILLE)]
            )
            amounts = np.concatenate([amounts, watches[which, 1], watches[which, 2]])
        sums = _DECAYED_OF[codes_counted]
        decaying = np.flatnonzero(sums[:, 0] != _NONE)
        return Columns(
            rows=np.array(self._rows, dtype=np.int64),
            at_ms=np.array(self._at_ms, dtype=np.int64)[events],
            counted=counted,
            pairs=pairs,
            counters=counters,
            amounts=amounts,
            decayed_pairs=np.repeat(counted[decaying], sums.shape[1]),
            decayed_columns=sums[decaying].reshape(-1),
            surface_pairs=np.array(self._surface_pairs, dtype=np.int64),
            surface_columns=np.array(self._surface_columns, dtype=np.int64),
        )
