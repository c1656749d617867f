"""Candidates that are taken to right now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS
from operators.stages import Source
from operators.windows.decay import DAY_MS
from schemas.features import GLOBAL_SCOPE, category_scope, region_scope

FRESH_MS = DAY_MS
"""A list that nothing was added to for longer is not what is trending now."""


class Trending(Source):
    """The global trending list.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "trending"

    def __init__(self, *, most: int = 200) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the head of the list."""
        return _head(query, GLOBAL_SCOPE, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say so while the list is fresh."""
        return ["Trending now" if _is_fresh(query, GLOBAL_SCOPE) else "Popular"] * len(rows)


class TrendingInRegion(Source):
    """The trending list of the request's region.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "trending_region"

    def __init__(self, *, most: int = 100) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the head of the list; nothing where no region is told."""
        return NO_ROWS if query.region is None else _head(query, region_scope(query.region), self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Name the region."""
        region = query.region or ""
        return [_words(query, region_scope(region), region)] * len(rows)


class TrendingInCategories(Source):
    """The trending lists of the categories that the person takes to lately, each in turn.

    Parameters
    ----------
    most
        Candidates to return at most, shared evenly by the categories.
    categories
        How many categories, the strongest first.
    """

    name = "trending_category"

    def __init__(self, *, most: int = 100, categories: int = 3) -> None:
        self.most = most
        self.categories = categories

    def retrieve(self, query: Query) -> Rows:
        """Return the heads of the lists, one list after the other."""
        names = self._names(query)
        if not names:
            return NO_ROWS
        rows = np.concatenate([_head(query, category_scope(name), self.most // len(names)) for name in names])
        return rows[np.sort(np.unique(rows, return_index=True)[1])]

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Name the category in whose list each was found."""
        said: dict[int, str] = {}
        for name in self._names(query):
            scope = category_scope(name)
            for row in _head(query, scope, self.most).tolist():
                said.setdefault(row, _words(query, scope, name))
        return [said.get(row, "") for row in rows]

    def _names(self, query: Query) -> list[str]:
        ids = query.tables.items.categories.ids
        return [ids[code] for code in query.liked_categories[: self.categories]]


def _head(query: Query, scope: str, most: int) -> Rows:
    known = query.tables.trending.of(scope)
    return NO_ROWS if known is None else known[0][:most]


def _is_fresh(query: Query, scope: str) -> bool:
    return query.now_ms - query.tables.trending.as_of(scope) < FRESH_MS


def _words(query: Query, scope: str, place: str) -> str:
    return f"{'Trending' if _is_fresh(query, scope) else 'Popular'} in {place}"
