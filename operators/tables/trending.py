"""Trending lists by scope, as rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.features import TrendingList

Rows = NDArray[np.intp]


class TrendingTable:
    """The newest list of each scope, best first.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Entries kept of a list; the tail of longer ones is left out.
    """

    def __init__(self, *, videos: Keyed, most: int = 400) -> None:
        self.videos = videos
        self.most = most
        self._lists: dict[str, tuple[Rows, NDArray[np.float64]]] = {}
        self._as_of_ms: dict[str, int] = {}

    def upsert(self, trending: TrendingList) -> None:
        """Take in a scope's newest list; of a repeated video the best place counts."""
        listed: dict[int, float] = {}
        for video_id, score in zip(trending.video_ids[: self.most], trending.scores[: self.most], strict=True):
            listed.setdefault(self.videos.row(video_id), score)
        self._lists[trending.scope] = np.array(list(listed), dtype=np.intp), np.array(list(listed.values()), dtype=np.float64)
        self._as_of_ms[trending.scope] = trending.as_of_ms

    def delete(self, scope: str) -> None:
        """Forget a scope."""
        self._lists.pop(scope, None)
        self._as_of_ms.pop(scope, None)

    def of(self, scope: str) -> tuple[Rows, NDArray[np.float64]] | None:
        """Return rows and scores of a scope, or None if nothing is known of it."""
        return self._lists.get(scope)

    def as_of(self, scope: str) -> int:
        """Return the time of the newest event that counts in a scope, epoch milliseconds, 0 if nothing is known of it."""
        return self._as_of_ms.get(scope, 0)
