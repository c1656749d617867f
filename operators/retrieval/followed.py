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
    expired
        Videos of a creator that may have expired among the newest ones; older videos of one who has more are not found.
    """

    name = "followed"

    def __init__(self, *, most: int = 100, expired: int = 500) -> None:
        self.most = most
        self.expired = expired

    def retrieve(self, query: Query) -> Rows:
        """Return their videos, newest first."""
        if not query.followed:
            return NO_ROWS
        items, order = query.tables.items, query.tables.orders.of_creator
        found = [order.head(creator, self.most + self.expired, until=query.now_ms) for creator in query.followed]
        rows = np.concatenate(found)
        rows = rows[~NotAvailable().removed(query, rows)]
        return best(rows, items.uploaded_ms.values[rows], items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say whose they are."""
        return ["From a creator you follow"] * len(rows)
