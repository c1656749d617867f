"""Trending lists by scope, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from operators.tables.view import Shared, SideView, ViewExample
from schemas.features import TrendingList
from schemas.validity import trending_list

Rows = NDArray[np.intp]


class TrendingTable(SideView[TrendingList]):
    """The newest list of each scope, best first.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Entries kept of a list; the tail of longer ones is left out.
    """

    topic = "features.trending"
    message = TrendingList

    def __init__(self, *, videos: Keyed, most: int = 400) -> None:
        self.videos = videos
        self.most = most
        self._lists: dict[str, tuple[Rows, NDArray[np.float64], NDArray[np.uint32]]] = {}
        self._as_of_ms: dict[str, int] = {}

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(videos=shared.videos)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> TrendingList:
        """Decode a list."""
        return trending_list(key, value)

    def apply(self, trending: TrendingList) -> None:
        """Take in a scope's newest list; of a repeated video the best place counts."""
        self.videos.trim()
        listed: dict[int, float] = {}
        for video_id, score in zip(trending.video_ids[: self.most], trending.scores[: self.most], strict=True):
            listed.setdefault(self.videos.row(video_id), score)
        rows = np.array(list(listed), dtype=np.intp)
        self._lists[trending.scope] = rows, np.array(list(listed.values()), dtype=np.float64), self.videos.generation.values[rows]
        self._as_of_ms[trending.scope] = trending.as_of_ms

    def delete(self, scope: str) -> None:
        """Forget a scope."""
        self._lists.pop(scope, None)
        self._as_of_ms.pop(scope, None)

    def of(self, scope: str) -> tuple[Rows, NDArray[np.float64]] | None:
        """Return rows and scores of a scope without those whose row was given back since, or None if nothing is known of it."""
        found = self._lists.get(scope)
        if found is None:
            return None
        rows, scores, generations = found
        same = self.videos.generation.values[rows] == generations
        return rows[same], scores[same]

    def as_of(self, scope: str) -> int:
        """Return the time of the newest event that counts in a scope, epoch milliseconds, 0 if nothing is known of it."""
        return self._as_of_ms.get(scope, 0)

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield lists of three scopes, one of which repeats a video."""

        def listed(scope: str, *video_ids: str, as_of_ms: int = 5) -> tuple[str, TrendingList]:
            scores = [float(len(video_ids) - place) for place in range(len(video_ids))]
            return scope, TrendingList(scope=scope, as_of_ms=as_of_ms, half_life_ms=1, video_ids=list(video_ids), scores=scores)

        def read(table: TrendingTable) -> object:
            found = {scope: table.of(scope) for scope in ("global", "region:DE", "category:k")}
            said = {scope: (table.videos.names(one[0]), one[1].tolist()) for scope, one in found.items() if one is not None}
            return said, {scope: table.as_of(scope) for scope in found}

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), most=3),
            records=[listed("global", "a", "b", "a"), listed("region:DE", "b", "c", "d", "e"), listed("category:k")],
            read=read,
            endless=lambda n: listed(f"category:k{n % 9}", *(f"v{(n + i) % 20}" for i in range(5)), as_of_ms=n),
            bound=200,
        )
