"""Candidates that are taken to right now."""

from __future__ import annotations

import numpy as np

from operators.pipeline import Found
from operators.query import Query
from operators.retrieval.best import NOTHING

GLOBAL = "global"


class Trending:
    """The global trending list.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "trending"

    def __init__(self, *, most: int = 200) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Found:
        """Return the head of the list."""
        return _head(query, GLOBAL, self.most)


class TrendingInRegion:
    """The trending list of the request's region.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "trending_region"

    def __init__(self, *, most: int = 100) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Found:
        """Return the head of the list; nothing where no region is told."""
        return NOTHING if query.region is None else _head(query, f"region:{query.region}", self.most)


class TrendingInCategories:
    """The trending lists of the categories that the person took to last, each in turn.

    Parameters
    ----------
    most
        Candidates to return at most, shared evenly by the categories.
    categories
        How many categories, those of the newest positives first.
    """

    name = "trending_category"

    def __init__(self, *, most: int = 100, categories: int = 3) -> None:
        self.most = most
        self.categories = categories

    def retrieve(self, query: Query) -> Found:
        """Return the heads of the lists, one list after the other."""
        items = query.tables.items
        codes = list(dict.fromkeys(items.category.values[query.positives.rows].tolist()))
        names = [items.categories.ids[code] for code in codes if code >= 0][: self.categories]
        if not names:
            return NOTHING
        heads = [_head(query, f"category:{name}", self.most // len(names)) for name in names]
        rows, scores = np.concatenate([head.rows for head in heads]), np.concatenate([head.scores for head in heads])
        firsts = np.sort(np.unique(rows, return_index=True)[1])
        return Found(rows[firsts], scores[firsts])


def _head(query: Query, scope: str, most: int) -> Found:
    known = query.tables.trending.of(scope)
    return NOTHING if known is None else Found(known[0][:most], known[1][:most])
