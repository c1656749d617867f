"""Candidates of which little is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.filters.listed import NotAvailable
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedThisSession
from operators.query import Query, Rows
from operators.stages import Source
from operators.tables.orders import ALL


class ExplorationPool(Source):
    """A seeded uniform sample of the videos with few impressions, without those that are not available at this time.

    Where there are more of them than `pool`, it is a sample of a stretch of so many in the order of their hashes, which begins at a seeded
    place: over many requests still every one of them as often as the next, to within the distance of its hash from the one before.

    Parameters
    ----------
    most
        Candidates to return at most.
    pool
        Videos to draw from at most.
    """

    name = "exploration"

    def __init__(self, *, most: int = 60, pool: int = 20_000) -> None:
        self.most = most
        self.pool = pool

    def retrieve(self, query: Query) -> Rows:
        """Return the sample, in the order of its draw."""
        pool = query.tables.orders.little_known.circle(ALL, 0.0, query.start, self.pool)
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
