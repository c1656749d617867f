"""Drops what moderation or the person took out, on every path, fallbacks included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.stages import Filter


class Moderated(Filter):
    """Drops videos and creators that moderation blocks."""

    name = "blocked"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are blocked, shape (n,)."""
        tables = query.tables
        creators = tables.items.creator.values[rows]
        removed: NDArray[np.bool_] = tables.moderation.video.values[rows] | ((creators >= 0) & tables.moderation.creator.values[creators])
        return removed


class HiddenByPerson(Filter):
    """Drops videos and creators of which the person said "not interested" or which they reported."""

    name = "hidden"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` the person hides, shape (n,)."""
        removed: NDArray[np.bool_] = np.zeros(len(rows), dtype=np.bool_)
        if len(query.hidden_videos) > 0:
            removed |= query.tables.videos.among(rows, query.hidden_videos)
        if len(query.hidden_creators) > 0:
            removed |= query.tables.creators.among(query.tables.items.creator.values[rows], np.array(query.hidden_creators))
        return removed
