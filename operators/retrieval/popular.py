"""Candidates that people take to; never none while the catalogue holds any."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import best, foremost
from operators.stages import Source
from operators.tables.counters import POPULAR_HALF_LIFE_MS
from operators.windows.decay import DAY_MS

LEAST = 0.01
"""A long view counts for a week among what is popular now: 24 h are a half-life."""
TODAY = 0.5
"""Least that is left of what was taken to, for what is popular today; something must have happened today, too."""


class Popular(Source):
    """The most popular of the last days, then the most popular of all times, and a seeded shuffle of what nobody took to yet.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "popular"

    def __init__(self, *, most: int = 300) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the most popular, then a shuffle."""
        tables = query.tables
        n = len(tables.videos)
        listed = tables.items.listed.values[:n]
        keys = tables.counters.popular_key.values[:n]
        recent = listed & (keys > _key(LEAST, query))
        known = np.flatnonzero(recent)
        found = best(known, keys[known], tables.items.hashes.values, self.most)
        missing = self.most - len(found)
        if missing <= 0:
            return found
        others = np.flatnonzero(listed & ~recent)
        order = foremost(tables.counters.popularity.values[others], query.shuffled(others), missing)
        return np.concatenate((found, others[order]))

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say whether they are popular today, were once, or not at all."""
        counters, some = query.tables.counters, np.array(rows, dtype=np.intp)
        today = (counters.popular_key.values[some] >= _key(TODAY, query)) & (counters.decayed_at_ms.values[some] > query.now_ms - DAY_MS)
        ever = counters.popularity.values[some] > 0
        return ["Popular today" if now else "Popular" if once else "" for now, once in zip(today.tolist(), ever.tolist(), strict=True)]


def _key(value: float, query: Query) -> float:
    return log2(value) + query.now_ms / POPULAR_HALF_LIFE_MS
