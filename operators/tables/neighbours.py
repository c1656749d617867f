"""Who was taken to together with whom, as padded rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.features import Neighbours


class NeighbourTable:
    """The neighbours of each video and their weights, best first.

    Parameters
    ----------
    videos
        The row space of videos.
    most
        Neighbours kept of a video: 8 bytes each, whether used or not.
    """

    def __init__(self, *, videos: Keyed, most: int = 200) -> None:
        if most < 1:
            message = f"expected at least 1 neighbour, got {most}, at most"
            raise ValueError(message)
        self.videos = videos
        self.most = most
        self.rows = videos.column(np.int32, width=(most,), fill=-1)
        self.weights = videos.column(np.float32, width=(most,))

    def upsert(self, neighbours: Neighbours) -> None:
        """Take in a video's newest neighbours."""
        row = self.videos.row(neighbours.video_id)
        n = min(self.most, len(neighbours.video_ids), len(neighbours.weights))
        known = self.videos.row
        rows = [known(video_id) for video_id in neighbours.video_ids[:n]]
        self.rows.values[row, :n] = rows
        self.rows.values[row, n:] = -1
        self.weights.values[row, :n] = neighbours.weights[:n]
        self.weights.values[row, n:] = 0

    def delete(self, video_id: str) -> None:
        """Forget a video's neighbours."""
        row = self.videos.find(video_id)
        if row >= 0:
            self.rows.values[row] = -1
            self.weights.values[row] = 0

    def weighted(self, rows: NDArray[np.intp], strengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Σ_j strength_j · weight(j → v) for every row v, shape (capacity,) float64.

        Contributions are added in the order of `rows`, so the sum of a video has the same bits wherever its row lies.
        """
        neighbours = self.rows.values[rows].ravel()
        weights: NDArray[np.float64] = (self.weights.values[rows] * strengths[:, np.newaxis]).ravel()
        # An empty place holds -1; shifted by one, all of them fall into a bin that is cut off.
        return np.bincount(neighbours + 1, weights=weights, minlength=self.videos.capacity + 1)[1:].astype(np.float64, copy=False)
