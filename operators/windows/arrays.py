"""Arrays that grow, and arrays as few bytes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], rows: int, fill: float = 0) -> NDArray[Scalar]:
    """Return the array with room for at least `rows` rows, half as many again when it must grow; what is new holds `fill`.

    >>> grown(np.zeros((2, 3)), 3).shape, grown(np.zeros((2, 3)), 2).shape
    ((3, 3), (2, 3))
    """
    if rows <= len(array):
        return array
    more = np.full((max(rows, len(array) + len(array) // 2), *array.shape[1:]), fill, dtype=array.dtype)
    more[: len(array)] = array
    return more


def narrowed(counts: NDArray[np.int64]) -> bytes:
    """Return counts as uint32, or as int64 where one does not fit.

    >>> len(narrowed(np.array([1, 2]))), len(narrowed(np.array([1, 2**40]))), len(narrowed(np.array([1, -1])))
    (8, 16, 16)
    """
    fits = counts.size == 0 or (counts.min() >= 0 and counts.max() < 2**32)
    return counts.astype(np.uint32).tobytes() if fits else counts.tobytes()


def widened(data: bytes, n: int) -> NDArray[np.int64]:
    """Take n counts back from `narrowed`.

    >>> widened(narrowed(np.array([1, 2**40])), 2).tolist()
    [1, 1099511627776]
    """
    return np.frombuffer(data, dtype=np.uint32 if len(data) == 4 * n else np.int64).astype(np.int64)
