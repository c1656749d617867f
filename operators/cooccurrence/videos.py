"""Codes of videos, and how many people watched each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class WatchedVideos:
    """Videos by code 0, 1, 2, ..., in order of first mention.

    Attributes
    ----------
    ids : list of str
        The id of each code.
    watches : array of int
        How many people watched the video of each code.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.watches = array("q")
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, video_id: str) -> int | None:
        """Return the code of a video, or None if it was never mentioned."""
        return self._codes.get(video_id)

    def code(self, video_id: str) -> int:
        """Return the code of a video, given at its first mention."""
        code = self._codes.get(video_id)
        if code is None:
            code = self._codes[video_id] = len(self.ids)
            self.ids.append(video_id)
            self.watches.append(0)
        return code

    def counts(self) -> NDArray[np.float64]:
        """Return how many people watched each video, shape (n_videos,)."""
        return np.array(self.watches, dtype=np.float64)

    def keep(self, codes: Sequence[int]) -> None:
        """Drop all videos but these, ascending; they get the codes 0, 1, 2, ..."""
        self.put([self.ids[code] for code in codes], array("q", [self.watches[code] for code in codes]))

    def put(self, ids: list[str], watches: array[int]) -> None:
        """Take the place of what was known."""
        self.ids = ids
        self.watches = watches
        self._codes = {video_id: code for code, video_id in enumerate(ids)}
