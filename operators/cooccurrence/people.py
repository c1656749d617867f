"""Keeps the videos that each person watched last, as codes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_EACH = 4_096

People = list[tuple[str, bytes]]


class LastWatched:
    """Codes of the videos that each person watched last, distinct, newest last; whoever was silent for longest is forgotten first.

    Parameters
    ----------
    most
        People kept.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._codes: dict[str, array[int]] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def of(self, user_id: str) -> array[int]:
        """Return a person's codes, to be changed in place; the person is now the one heard of last."""
        codes = self._codes.pop(user_id, None)
        if codes is None:
            codes = array("i")
            if len(self._codes) >= self.most:
                del self._codes[next(iter(self._codes))]
        self._codes[user_id] = codes
        return codes

    def recode(self, new_codes: NDArray[np.int32]) -> None:
        """Give videos new codes, shape (n_videos,); -1 forgets a video."""
        for user_id, codes in self._codes.items():
            moved = new_codes[np.frombuffer(codes, dtype=np.int32)]
            self._codes[user_id] = array("i", moved[moved >= 0].tobytes())

    def pack(self) -> Iterator[People]:
        """Yield blocks of people, the one silent for longest first."""
        people = list(self._codes.items())
        for start in range(0, len(people), _EACH):
            yield [(user_id, codes.tobytes()) for user_id, codes in people[start : start + _EACH]]

    def unpack(self, block: People) -> None:
        """Take back a block that `pack` yielded, after those before it."""
        self._codes.update((user_id, array("i", codes)) for user_id, codes in block)
