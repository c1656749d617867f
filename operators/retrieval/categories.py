"""Candidates of the categories that the person takes to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS
from operators.stages import Source


class LikedCategories(Source):
    """The most popular of each category that the person takes to lately, the strongest category first.

    Parameters
    ----------
    most
        Candidates to return at most, shared evenly by the categories.
    categories
        How many categories.
    """

    name = "liked_category"

    def __init__(self, *, most: int = 180, categories: int = 3) -> None:
        self.most = most
        self.categories = categories

    def retrieve(self, query: Query) -> Rows:
        """Return the heads of the categories, one after the other."""
        codes = query.liked_categories[: self.categories]
        if not codes:
            return NO_ROWS
        return np.concatenate([query.tables.orders.of_category.head(code, self.most // len(codes)) for code in codes])

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Name the category."""
        items = query.tables.items
        return [f"Because you watch {items.categories.ids[code]}" for code in items.category.values[list(rows)].tolist()]
