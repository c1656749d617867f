"""The best rows by score, the same ones wherever they lie in the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.query import Rows

NO_ROWS: Rows = np.empty(0, dtype=np.intp)


def best(rows: Rows, scores: NDArray[Any], hashes: NDArray[np.uint64], most: int) -> Rows:
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
    return rows[foremost(scores, hashes[rows], most)]


def foremost(scores: NDArray[Any], ties: NDArray[np.uint64], most: int) -> Rows:
    """Return the places of the `most` highest scores, best first; of equal scores the one with the smallest of `ties` comes first.

    The cost is linear in n, however many are equal; only what is returned is sorted.

    Parameters
    ----------
    scores : (n,)
        The higher the better; no NaN.
    ties : (n,) uint64
        All different.
    most
        Places to return at most, >= 1.

    Examples
    --------
    >>> foremost(np.array([0.0, 2.0, 0.0, 0.0]), np.array([9, 5, 1, 4], dtype=np.uint64), 3).tolist()
    [1, 2, 3]
    """
    places = np.arange(len(scores))
    if most < len(scores):
        least = np.partition(scores, len(scores) - most)[len(scores) - most]
        above, level = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        needed = most - len(above)
        places = np.concatenate((above, level[np.argpartition(ties[level], needed - 1)[:needed]]))
    order = np.argsort(-scores[places])
    ordered = scores[places[order]]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((ties[places], -scores[places]))
    return places[order]
