"""Who was taken to together with whom, as padded rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.codec import DecodeError, decode
from schemas.features import Neighbours


class NeighbourTable:
    """The neighbours of each video and their weights, best first.

    Lists change far more often than they are looked at, and to take one apart costs 70 µs. So a list waits as it came until somebody asks
    for it; a newer one of the same video takes its place.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Neighbours kept of a video: 8 bytes each, whether used or not.
    most_waiting
        Lists that may wait; beyond, the one that waits longest is taken apart.

    Attributes
    ----------
    rejected : int
        Lists that did not fit their contract, counted when they were taken apart.
    """

    def __init__(self, *, videos: Keyed, most: int = 200, most_waiting: int = 4_096) -> None:
        if most < 1:
            message = f"expected at least 1 neighbour, got {most}, at most"
            raise ValueError(message)
        self.videos = videos
        self.most = most
        self.most_waiting = most_waiting
        self.rejected = 0
        self._waiting: dict[int, bytes] = {}
        self.rows = videos.column(np.int32, width=(most,), fill=-1)
        self.weights = videos.column(np.float32, width=(most,))

    def put(self, video_id: str, value: bytes) -> None:
        """Take in a video's newest list, as it stands on the topic."""
        row = self.videos.row(video_id)
        self._waiting.pop(row, None)
        self._waiting[row] = value
        if len(self._waiting) > self.most_waiting:
            self._settle(next(iter(self._waiting)))

    def delete(self, video_id: str) -> None:
        """Forget a video's neighbours."""
        row = self.videos.find(video_id)
        if row >= 0:
            self._waiting.pop(row, None)
            self.rows.values[row] = -1
            self.weights.values[row] = 0

    def of(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return rows and weights of the neighbours of `rows`, each of shape (n, most), -1 and 0 where there are fewer."""
        if self._waiting:
            for row in rows.tolist():
                if row in self._waiting:
                    self._settle(row)
        return self.rows.values[rows], self.weights.values[rows]

    def weighted(self, rows: NDArray[np.intp], strengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Σ_j strength_j · weight(j → v) for every row v, shape (capacity,) float64.

        Contributions are added in the order of `rows`, so the sum of a video has the same bits wherever its row lies.
        """
        neighbours, weights = self.of(rows)
        spread: NDArray[np.float64] = (weights * strengths[:, np.newaxis]).ravel()
        # An empty place holds -1; shifted by one, all of them fall into a bin that is cut off.
        return np.bincount(neighbours.ravel() + 1, weights=spread, minlength=self.videos.capacity + 1)[1:].astype(np.float64, copy=False)

    def _settle(self, row: int) -> None:
        try:
            neighbours = decode(Neighbours, self._waiting.pop(row))
        except DecodeError:
            self.rejected += 1
            return
        n = min(self.most, len(neighbours.video_ids), len(neighbours.weights))
        known = self.videos.row
        rows = [known(video_id) for video_id in neighbours.video_ids[:n]]
        self.rows.values[row, :n] = rows
        self.rows.values[row, n:] = -1
        self.weights.values[row, :n] = neighbours.weights[:n]
        self.weights.values[row, n:] = 0
