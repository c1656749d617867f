"""Candidates by creators whom the person follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.filters.listed import NotAvailable
from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS, best
from operators.stages import Source


class FollowedCreators(Source):
    """The newest uploads of followed creators; without those that are not available at this time.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "followed"

    def __init__(self, *, most: int = 100) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return their videos, newest first."""
        items = query.tables.items
        rows = np.array([row for creator in query.followed for row in items.of_creator(creator)], dtype=np.intp)
        rows = rows[~NotAvailable().removed(query, rows)]
        return best(rows, items.uploaded_ms.values[rows], items.hashes.values, self.most) if len(rows) > 0 else NO_ROWS

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say whose they are."""
        return ["From a creator you follow"] * len(rows)
