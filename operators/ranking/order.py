"""The order of falling scores, the same wherever candidates stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from operators.query import Rows


def by_score(scores: NDArray[np.float32], name: Callable[[int], str]) -> Rows:
    """Return the order of falling score; what is not finite sinks, ties go by name, which is asked for in ties only.

    >>> by_score(np.array([1.0, np.nan, 2.0, 1.0], dtype=np.float32), "dcba".__getitem__).tolist()
    [2, 3, 0, 1]
    """
    keys = np.where(np.isfinite(scores), -scores, np.float32(np.inf))
    order: Rows = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    same = np.flatnonzero(sorted_keys[1:] == sorted_keys[:-1])
    if len(same) > 0:
        starts = same[np.insert(np.diff(same) > 1, 0, True)]
        ends = same[np.append(np.diff(same) > 1, True)] + 2
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            order[start:end] = sorted(order[start:end].tolist(), key=name)
    return order
