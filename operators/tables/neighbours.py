"""Keeps each video's neighbours and their weights, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from operators.tables.view import Shared, SideView, ViewExample
from schemas.codec import decode
from schemas.features import Neighbours
from schemas.validity import neighbours

_NO_ROWS = np.empty(0, dtype=np.int32)
_NO_WEIGHTS = np.empty(0, dtype=np.float32)
_NO_GENERATIONS = np.empty(0, dtype=np.uint32)
_NOTHING = (_NO_ROWS, _NO_WEIGHTS, _NO_GENERATIONS)
_List = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.uint32]]


class Joined(NamedTuple):
    """Several lists, one after the other, shape (n,) each.

    Attributes
    ----------
    rows : int32
        The neighbours.
    weights : float
        Their weights.
    places : intp
        Whose list each stands in: a place in the rows that were asked for.
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.floating]
    places: NDArray[np.intp]


class Listed(NamedTuple):
    """A valid record: whose neighbours, and the bytes."""

    video_id: str
    value: bytes


class NeighbourTable(SideView[Listed]):
    """The neighbours of each video and their weights, best first.

    Lists are long and change far more often than they are looked at. So a list waits as it came until somebody asks for it; a newer one of
    the same video takes its place.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Neighbours kept of a video, 12 bytes each. Recall falls when this is short: 200 cost a tenth of it on a public log.
    most_waiting
        Lists that may wait, about 20 bytes a neighbour; beyond, the one that waits longest is taken apart.

    """

    topic = "features.neighbours"
    message = Neighbours

    def __init__(self, *, videos: Keyed, most: int = 1_000, most_waiting: int = 1_024) -> None:
        if most < 1:
            message = f"expected at least 1 neighbour, got {most}, at most"
            raise ValueError(message)
        self.videos = videos
        self.most = most
        self.most_waiting = most_waiting
        self._waiting: dict[int, bytes] = {}
        self._lists: dict[int, _List] = {}
        videos.when_given_back(self._forget)

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(videos=shared.videos)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> Listed:
        """Check a list; it is decoded again when it is looked at."""
        return Listed(neighbours(key, value).video_id, value)

    def apply(self, listed: Listed) -> None:
        """Take in a video's newest list, as it stands on the topic."""
        self.videos.trim()
        row = self.videos.row(listed.video_id)
        self._waiting.pop(row, None)
        self._waiting[row] = listed.value
        if len(self._waiting) > self.most_waiting:
            self._settle(next(iter(self._waiting)))

    def delete(self, video_id: str) -> None:
        """Forget a video's neighbours."""
        self._forget([self.videos.find(video_id)])

    def of(self, rows: NDArray[np.intp]) -> Joined:
        """Return the neighbours of `rows`, one list after the other, without those whose row was given back since."""
        found = [self._list(row) for row in rows.tolist()]
        if not found:
            return Joined(_NO_ROWS, _NO_WEIGHTS, np.empty(0, dtype=np.intp))
        neighbours, weights, generations = (np.concatenate(parts) for parts in zip(*found, strict=True))
        places = np.repeat(np.arange(len(found)), [len(one) for one, _, _ in found])
        same = self.videos.generation.values[neighbours] == generations
        return Joined(neighbours, weights, places) if same.all() else Joined(neighbours[same], weights[same], places[same])

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield lists of three videos, of which two may wait."""

        def near(video_id: str, **found: float) -> tuple[str, Neighbours]:
            return video_id, Neighbours(video_id=video_id, as_of_ms=1, video_ids=list(found), weights=list(found.values()))

        def read(table: NeighbourTable) -> object:
            said = {}
            for name in "abcd":
                if (row := table.videos.find(name)) >= 0:
                    found = table.of(np.array([row], dtype=np.intp))
                    said[name] = table.videos.names(found.rows), found.weights.tolist()
            return {name: listed for name, listed in said.items() if listed[0]}

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), most=2, most_waiting=2),
            records=[near("a", b=0.5, c=0.25, d=0.125), near("b", a=1.0), near("c")],
            read=read,
            endless=lambda n: near(f"v{n % 20}", **{f"v{(n + i) % 25}": 1 / (1 + i) for i in range(5)}),
            bound=200,
        )

    def _list(self, row: int) -> _List:
        if row in self._waiting:
            self._settle(row)
        return self._lists.get(row, _NOTHING)

    def _settle(self, row: int) -> None:
        found = decode(Neighbours, self._waiting.pop(row))
        known = self.videos.row
        rows = np.array([known(video_id) for video_id in found.video_ids[: self.most]], dtype=np.int32)
        weights = np.array(found.weights[: self.most], dtype=np.float32)
        self._lists[row] = rows, weights, self.videos.generation.values[rows]

    def _forget(self, rows: list[int]) -> None:
        for row in rows:
            self._waiting.pop(row, None)
            self._lists.pop(row, None)
