"""Candidates of which little is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.filters.listed import NotAvailable
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedThisSession
from operators.query import Query, Rows
from operators.stages import Source


class ExplorationPool(Source):
    """A seeded uniform sample of the videos with few impressions, without those that are not available at this time.

    Parameters
    ----------
    most
        Candidates to return at most.
    few
        Videos with fewer impressions than this are in the pool.
    """

    name = "exploration"

    def __init__(self, *, most: int = 60, few: int = 1_000) -> None:
        self.most = most
        self.few = few

    def retrieve(self, query: Query) -> Rows:
        """Return the sample, in the order of its draw."""
        tables = query.tables
        n = len(tables.videos)
        impressions = tables.counters.impressions.values[:n]
        pool = np.flatnonzero(tables.items.listed.values[:n] & (impressions < self.few))
        pool = pool[~NotAvailable().removed(query, pool)]
        keys = query.shuffled(pool)
        if len(pool) > self.most:
            kept = np.argpartition(keys, self.most)[: self.most]
            pool, keys = pool[kept], keys[kept]
        return pool[np.argsort(keys, kind="stable")]

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say that they are new to the person, where they are."""
        some = np.array(rows, dtype=np.intp)
        known = AlreadySeen().removed(query, some) | ServedThisSession().removed(query, some)
        return ["" if one else "Something new for you" for one in known.tolist()]
