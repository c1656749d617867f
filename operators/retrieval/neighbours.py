"""Candidates watched together with what the person watched last ("because you watched")."""

from __future__ import annotations

import numpy as np

from operators.pipeline import Found
from operators.query import Query
from operators.retrieval.best import NOTHING, best


class WatchedTogether:
    """Item neighbours of the last watches, the recent ones counting most.

    score(v) = Σ_r 0.95^r · weight(recent_r → v)

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "neighbours"

    def __init__(self, *, most: int = 500) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Found:
        """Return the most watched together, best first."""
        if len(query.recent.rows) == 0:
            return NOTHING
        together = query.co_watched
        rows = np.flatnonzero((together > 0) & query.tables.items.listed.values)
        return best(rows, together[rows], query.tables.items.hashes.values, self.most)
