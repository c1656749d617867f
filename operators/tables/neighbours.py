"""Keeps each video's neighbours and their weights, as rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.codec import decode
from schemas.features import Neighbours

_NO_ROWS = np.empty(0, dtype=np.int32)
_NO_WEIGHTS = np.empty(0, dtype=np.float32)
_NOTHING = (_NO_ROWS, _NO_WEIGHTS)


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


class NeighbourTable:
    """The neighbours of each video and their weights, best first.

    Lists are long and change far more often than they are looked at. So a list waits as it came until somebody asks for it; a newer one of
    the same video takes its place.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Neighbours kept of a video, 8 bytes each. Recall falls when this is short: 200 cost a tenth of it on a public log.
    most_waiting
        Lists that may wait, about 20 bytes a neighbour; beyond, the one that waits longest is taken apart.

    """

    def __init__(self, *, videos: Keyed, most: int = 1_000, most_waiting: int = 1_024) -> None:
        if most < 1:
            message = f"expected at least 1 neighbour, got {most}, at most"
            raise ValueError(message)
        self.videos = videos
        self.most = most
        self.most_waiting = most_waiting
        self._waiting: dict[int, bytes] = {}
        self._lists: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}

    def put(self, video_id: str, value: bytes) -> None:
        """Take in a video's newest list, as it stands on the topic; it must be valid."""
        row = self.videos.row(video_id)
        self._waiting.pop(row, None)
        self._waiting[row] = value
        if len(self._waiting) > self.most_waiting:
            self._settle(next(iter(self._waiting)))

    def delete(self, video_id: str) -> None:
        """Forget a video's neighbours."""
        row = self.videos.find(video_id)
        self._waiting.pop(row, None)
        self._lists.pop(row, None)

    def of(self, rows: NDArray[np.intp]) -> Joined:
        """Return the neighbours of `rows`, one list after the other."""
        found = [self._list(row) for row in rows.tolist()]
        if not found:
            return Joined(_NO_ROWS, _NO_WEIGHTS, np.empty(0, dtype=np.intp))
        lengths = [len(neighbours) for neighbours, _ in found]
        return Joined(
            np.concatenate([neighbours for neighbours, _ in found]),
            np.concatenate([weights for _, weights in found]),
            np.repeat(np.arange(len(found)), lengths),
        )

    def _list(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if row in self._waiting:
            self._settle(row)
        return self._lists.get(row, _NOTHING)

    def _settle(self, row: int) -> None:
        neighbours = decode(Neighbours, self._waiting.pop(row))
        known = self.videos.row
        rows = np.array([known(video_id) for video_id in neighbours.video_ids[: self.most]], dtype=np.int32)
        self._lists[row] = rows, np.array(neighbours.weights[: self.most], dtype=np.float32)
