"""The best rows by score, the same ones wherever they lie in the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.pipeline import Found
from operators.query import Rows

NOTHING = Found(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.float64))


def best(rows: Rows, scores: NDArray[Any], hashes: NDArray[np.uint64], most: int) -> Found:
    """Return the `most` best of `rows`, best first; ties go by the hash of the id, never by the row's number.

    Parameters
    ----------
    rows : (n,) intp
        Rows to choose from.
    scores : (n,)
        The higher the better.
    hashes : (capacity,) uint64
        Hash of each row's id.
    """
    if most < len(rows):
        least = np.partition(scores, len(rows) - most)[len(rows) - most]
        kept = np.flatnonzero(scores >= least)
        rows, scores = rows[kept], scores[kept]
    order = np.argsort(-scores)
    ordered = scores[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((hashes[rows], -scores))[:most]
    return Found(rows[order], scores[order].astype(np.float64))
