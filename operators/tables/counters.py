"""Windowed counters of videos, creators or tags as columns; windows are taken when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log2
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from operators.windows.decay import DAY_MS, DECAYED, N_DECAYED
from schemas.features import N_COUNTERS, PANE_MS, PANES, Counter, Decayed, EntityCounters

NO_MINUTE = -1
SURFACES = 16
SURFACE_HALF_LIFE_MS = DAY_MS
POPULAR_HALF_LIFE_MS = DAY_MS
POPULARITY: Mapping[Counter, float] = MappingProxyType(
    {
        Counter.CLICKS: 0.2,
        Counter.LONG_VIEWS: 1.0,
        Counter.LIKES: 2.0,
        Counter.COMMENTS: 2.0,
        Counter.SAVES: 2.0,
        Counter.FOLLOWS: 2.0,
        Counter.SHARES: 3.0,
        Counter.NEGATIVES: -2.0,
    }
)
"""What each interaction adds to how popular a video is; a finish is a long view too."""

_POPULAR_TOTALS = tuple(POPULARITY.items())
_POPULAR_SUMS = tuple(
    (place, POPULARITY[one.counter])
    for place, one in enumerate(DECAYED)
    if one.half_life_ms == POPULAR_HALF_LIFE_MS and one.counter in POPULARITY
)


class Standing(NamedTuple):
    """What orders go by, of one row; see the attributes of `CounterTable`."""

    popular: float
    popularity: float
    impressions: int
    surfaces: list[float]


class CounterTable:
    r"""Totals, one-minute panes and decayed sums, one row per entity.

    window(w) = Σ panes with minute in (now_min − w, now_min];  decayed(now) = value · 2^(−max(now − at, 0) / half_life)

    Parameters
    ----------
    rows
        The row space of the entities.
    paned
        Counters whose panes are kept; the others have totals only, which saves PANES · 4 bytes a row each. Panes are float32, which
        sums fastest and is exact up to 16 million in half an hour.

    Attributes
    ----------
    popularity : (n,) float64
        Totals weighted by POPULARITY, at least 0.
    popular_key : (n,) float64
        log2(value) + at / half_life of the same of a day, as far as it is kept decayed: orders by "most popular now" without arithmetic.
    surface_keys : (n, SURFACES) float64
        log2(value) + at / half_life of the impressions by surface; -inf where there are none.
    """

    def __init__(self, *, rows: Keyed, paned: Sequence[Counter]) -> None:
        self.rows = rows
        self.paned = tuple(paned)
        self.totals = rows.column(np.int64, width=(N_COUNTERS,))
        self.decayed = rows.column(np.float64, width=(N_DECAYED,))
        self.decayed_at_ms = rows.column(np.int64)
        self.popularity = rows.column(np.float64)
        self.popular_key = rows.column(np.float64, fill=-np.inf)
        self.newest_minute = rows.column(np.int64, fill=NO_MINUTE)
        self.minutes = rows.column(np.int32, width=(PANES if self.paned else 0,), fill=NO_MINUTE)
        self.panes = rows.column(np.float32, width=(len(self.paned), PANES if self.paned else 0))
        self.surfaces = Keyed(capacity=SURFACES)
        self._changed: Callable[[int, Standing], None] | None = None
        self.surface_keys = rows.column(np.float64, width=(SURFACES if self.paned else 0,), fill=-np.inf)

    def upsert(self, entity: EntityCounters) -> None:
        """Take in an entity's counters as they stand now."""
        self.rows.trim()
        row = self.rows.row(entity.id)
        before = None if self._changed is None else self.standing(row)
        self.totals.values[row] = entity.totals
        self.popularity.values[row] = max(sum(weight * entity.totals[counter] for counter, weight in _POPULAR_TOTALS), 0.0)
        if entity.decayed is not None and len(entity.decayed.values) == N_DECAYED:
            self._upsert_decayed(row, entity, entity.decayed)
        if self.paned:
            self._upsert_panes(row, entity)
        if self._changed is not None and before is not None:
            self._changed(row, before)

    def forget(self, key: str) -> None:
        """Set an entity's counters to nothing."""
        row = self.rows.find(key)
        if row < 0:
            return
        before = self.standing(row)
        self.totals.values[row] = 0
        self.decayed.values[row] = 0
        self.popularity.values[row] = 0
        self.popular_key.values[row] = -np.inf
        self.newest_minute.values[row] = NO_MINUTE
        self.minutes.values[row] = NO_MINUTE
        self.panes.values[row] = 0
        self.surface_keys.values[row] = -np.inf
        if self._changed is not None:
            self._changed(row, before)

    def watch(self, changed: Callable[[int, Standing], None]) -> None:
        """Call `changed` after each change of a row, with what it was before."""
        self._changed = changed

    def standing(self, row: int) -> Standing:
        """Return what orders go by, of a row as it stands now."""
        return Standing(
            float(self.popular_key.values[row]),
            float(self.popularity.values[row]),
            int(self.totals.values[row, Counter.IMPRESSIONS]),
            self.surface_keys.values[row].tolist(),
        )

    def decayed_at(self, rows: NDArray[np.intp], index: int, now_ms: int) -> NDArray[np.float64]:
        """Return decayed sum `index` of `rows` at `now_ms`, shape (n,)."""
        age_ms = np.maximum(now_ms - self.decayed_at_ms.values[rows], 0)
        aged: NDArray[np.float64] = self.decayed.values[rows, index] * np.exp2(age_ms * (-1.0 / DECAYED[index].half_life_ms))
        return aged

    def surface(self, name: str | None) -> int:
        """Return the column of a surface in `surface_keys`, -1 where it is unknown."""
        return self.surfaces.find(name)

    def on_surface(self, rows: NDArray[np.intp], surface: str, now_ms: int) -> NDArray[np.float64] | None:
        """Return the impressions of `rows` on a surface, half-life 24 h, at `now_ms`, shape (n,); None where the surface is unknown."""
        code = self.surface(surface)
        if code < 0:
            return None
        latest_ms = np.maximum(now_ms, self.decayed_at_ms.values[rows])
        impressions: NDArray[np.float64] = np.exp2(self.surface_keys.values[rows, code] - latest_ms / SURFACE_HALF_LIFE_MS)
        return impressions

    def windows(self, rows: NDArray[np.intp], minutes: Sequence[int], now_ms: int) -> NDArray[np.float32]:
        """Return the paned counters of `rows` over each of the last `minutes`, shape (len(minutes), len(paned), n), exact."""
        now_minute = now_ms // PANE_MS
        out = np.zeros((len(minutes), len(self.paned), len(rows)), dtype=np.float32)
        active = np.flatnonzero(self.newest_minute.values[rows] > now_minute - max(minutes))
        if len(active) > 0:
            stamps, panes = self.minutes.values[rows[active]], self.panes.values[rows[active]]
            for place, length in enumerate(minutes):
                inside = (stamps > now_minute - length) & (stamps <= now_minute)
                out[place][:, active] = np.einsum("ncp,np->cn", panes, inside.astype(np.float32))
        return out

    def _upsert_decayed(self, row: int, entity: EntityCounters, decayed: Decayed) -> None:
        self.decayed.values[row] = decayed.values
        self.decayed_at_ms.values[row] = decayed.at_ms
        popular = sum(weight * decayed.values[place] for place, weight in _POPULAR_SUMS)
        self.popular_key.values[row] = _key(popular, decayed.at_ms, POPULAR_HALF_LIFE_MS)
        if self.paned:
            self._upsert_surfaces(row, entity.surfaces, decayed.at_ms)

    def _upsert_surfaces(self, row: int, surfaces: dict[str, float], at_ms: int) -> None:
        keys = self.surface_keys.values[row]
        keys[:] = -np.inf
        for surface, value in surfaces.items():
            # Surfaces are few; those past the width come too late to be told apart and are left out.
            if len(self.surfaces) < SURFACES or self.surfaces.find(surface) >= 0:
                keys[self.surfaces.row(surface)] = _key(value, at_ms, SURFACE_HALF_LIFE_MS)

    def _upsert_panes(self, row: int, entity: EntityCounters) -> None:
        minutes, panes = self.minutes.values[row], self.panes.values[row]
        minutes[:] = NO_MINUTE
        newest = NO_MINUTE
        for minute, counts in ((pane.minute, pane.counts) for pane in entity.panes):
            slot = minute % PANES
            minutes[slot] = minute
            panes[:, slot] = [counts[counter] for counter in self.paned]
            newest = max(newest, minute)
        self.newest_minute.values[row] = newest


def _key(value: float, at_ms: int, half_life_ms: int) -> float:
    """Fold a decayed sum and its instant into one number that keeps its order for ever: log2(value) + at / half_life."""
    return log2(value) + at_ms / half_life_ms if value > 0 else float("-inf")
