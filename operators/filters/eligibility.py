"""Drops videos rated above the person's age, and those for another region or language where both sides are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.stages import Filter


class AboveAge(Filter):
    """Drops videos rated above the person's age; who tells no age has the one that the settings assume."""

    name = "age"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are rated above the person's age, shape (n,)."""
        removed: NDArray[np.bool_] = query.tables.items.age_rating.values[rows] > query.age
        return removed


class OtherRegion(Filter):
    """Drops videos for another region than the person's, where both are known."""

    name = "region"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are for another region, shape (n,)."""
        items = query.tables.items
        if query.region is None:
            return np.zeros(len(rows), dtype=np.bool_)
        regions = items.region.values[rows]
        removed: NDArray[np.bool_] = (regions >= 0) & (regions != items.regions.find(query.region))
        return removed


class OtherLanguage(Filter):
    """Drops videos in another language than the person's, where both are known."""

    name = "language"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are in another language, shape (n,)."""
        items = query.tables.items
        if query.language is None:
            return np.zeros(len(rows), dtype=np.bool_)
        languages = items.language.values[rows]
        removed: NDArray[np.bool_] = (languages >= 0) & (languages != items.languages.find(query.language))
        return removed
