"""Candidates that people take to; never none while the catalogue holds any."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import foremost
from operators.stages import Source
from operators.tables.counters import POPULAR_HALF_LIFE_MS
from operators.tables.orders import ALL
from operators.windows.decay import DAY_MS

LEAST = 0.01
"""A long view counts for a week among what is popular now: 24 h are a half-life."""
TODAY = 0.5
"""Least that is left of what was taken to, for what is popular today; something must have happened today, too."""


class Popular(Source):
    """The most popular of the last days, then the most popular of all times, and a seeded shuffle of what nobody took to yet.

    Of videos that were always equally popular, `pool` take part in the shuffle at most: a stretch in the order of their hashes, from a
    seeded place on.

    Parameters
    ----------
    most
        Candidates to return at most.
    pool
        Equally popular videos to choose from at most.
    """

    name = "popular"

    def __init__(self, *, most: int = 300, pool: int = 20_000) -> None:
        self.most = most
        self.pool = pool

    def retrieve(self, query: Query) -> Rows:
        """Return the most popular, then a shuffle."""
        recent = query.tables.orders.popular.head(ALL, self.most, above=_key(LEAST, query))
        missing = self.most - len(recent)
        return recent if missing == 0 else np.concatenate((recent, self._ever_popular(query, recent, missing)))

    def _ever_popular(self, query: Query, recent: Rows, most: int) -> Rows:
        """Return the most popular of all times but for `recent`; where the last of them are equally popular, chance decides which."""
        videos, order = query.tables.videos, query.tables.orders.ever_popular
        popularity = query.tables.counters.popularity.values
        known = order.head(ALL, self.most, above=0.0)
        known = known[~videos.among(known, recent)]
        least = float(popularity[known[most - 1]]) if len(known) >= most else 0.0
        level = order.circle(ALL, least, query.start, self.pool + len(recent))
        rows = np.concatenate((known[popularity[known] > least], level[~videos.among(level, recent)]))
        return rows[foremost(popularity[rows], query.shuffled(rows), most)]

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say whether they are popular today, were once, or not at all."""
        counters, some = query.tables.counters, np.array(rows, dtype=np.intp)
        today = (counters.popular_key.values[some] >= _key(TODAY, query)) & (counters.decayed_at_ms.values[some] > query.now_ms - DAY_MS)
        ever = counters.popularity.values[some] > 0
        return ["Popular today" if now else "Popular" if once else "" for now, once in zip(today.tolist(), ever.tolist(), strict=True)]


def _key(value: float, query: Query) -> float:
    return log2(value) + query.now_ms / POPULAR_HALF_LIFE_MS
