"""Why a video is on the page, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.pipeline import REPEATED
from operators.query import Query
from operators.retrieval.exploration import ExplorationPool
from operators.retrieval.followed import FollowedCreators
from operators.retrieval.fresh import FreshUploads
from operators.retrieval.neighbours import WatchedTogether
from operators.retrieval.popular import Popular
from operators.retrieval.surface import PopularOnSurface
from operators.retrieval.trending import Trending, TrendingInCategories, TrendingInRegion
from operators.retrieval.vectors import NearTaste
from operators.retrieval.whole import WholeCatalogue

PLAIN = {
    FollowedCreators.name: "From a creator you follow",
    NearTaste.name: "Similar to videos you liked",
    PopularOnSurface.name: "Popular here today",
    Trending.name: "Trending now",
    FreshUploads.name: "Just uploaded",
    Popular.name: "Popular today",
    ExplorationPool.name: "Something new for you",
    WholeCatalogue.name: "Worth a try",
    REPEATED: "Shown before",
}


def reasons(query: Query, rows: Sequence[int], sources: Sequence[str]) -> list[str]:
    """Return the reason for each video of a page, by its main source.

    Parameters
    ----------
    rows
        Row of each video.
    sources
        Main source of each video.
    """
    watched = _watched_with(query, rows) if WatchedTogether.name in sources else [-1] * len(rows)
    return [_reason(query, row, source, watched[place]) for place, (row, source) in enumerate(zip(rows, sources, strict=True))]


def _reason(query: Query, row: int, source: str, watched: int) -> str:
    items = query.tables.items
    if source == WatchedTogether.name:
        record = items.records[watched] if 0 <= watched < len(items.records) else None
        return f"Because you watched {record.title}" if record is not None and record.title else "Because of what you watched"
    if source == TrendingInRegion.name:
        return f"Trending in {query.region}"
    if source == TrendingInCategories.name:
        category = int(items.category.values[row])
        return f"Trending in {items.categories.ids[category]}" if category >= 0 else PLAIN[Trending.name]
    if source == Popular.name and query.tables.counters.popular_key.values[row] == -np.inf:
        return PLAIN[WholeCatalogue.name]
    return PLAIN[source]


def _watched_with(query: Query, rows: Sequence[int]) -> list[int]:
    """Return, for each row, which of the last watches speaks most for it, -1 where none does."""
    recent = query.recent.rows
    joined = query.neighbourhood
    found = np.flatnonzero(query.tables.videos.mask(list(rows))[joined.rows])
    strongest: dict[int, tuple[float, int]] = {}
    shares, sources = joined.weights[found].tolist(), recent[joined.places[found]].tolist()
    for row, share, source in zip(joined.rows[found].tolist(), shares, sources, strict=True):
        if row not in strongest or share > strongest[row][0]:
            strongest[row] = share, source
    return [strongest.get(row, (0.0, -1))[1] for row in rows]
