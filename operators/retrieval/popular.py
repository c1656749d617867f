"""Candidates that people took to over the last day; the last resort that is never empty."""

from __future__ import annotations

import numpy as np

from operators.pipeline import Found
from operators.query import Query
from operators.retrieval.best import best


class Popular:
    """The largest decayed counts of the catalogue, and where there are no counts at all a seeded shuffle of it.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "popular"

    def __init__(self, *, most: int = 300) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Found:
        """Return the most popular, then a shuffle of what nobody took to yet."""
        tables = query.tables
        n = len(tables.videos)
        listed = tables.items.listed.values[:n]
        keys = tables.counters.popular_key.values[:n]
        known = np.flatnonzero(listed & (keys > -np.inf))
        found = best(known, keys[known], tables.items.hashes.values, self.most)
        missing = self.most - len(found.rows)
        if missing <= 0:
            return found
        others = np.flatnonzero(listed & (keys == -np.inf))
        shuffled = others[np.argsort(query.shuffled(others), kind="stable")][:missing]
        return Found(np.concatenate((found.rows, shuffled)), np.concatenate((found.scores, np.full(len(shuffled), -np.inf))))
