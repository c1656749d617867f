"""Weighs how near two videos are, by how often they were watched together and apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

SMOOTHING = 5.0
COSINE = 0.5


def weights_of(counts: NDArray[np.int32], own: float, others: Weights, popularity: float) -> Weights:
    """Return C[j, v] / (n_j · (n_v + 5))^popularity for the neighbours v of one video j.

    Parameters
    ----------
    counts
        C[j, v], shape (n,).
    own
        n_j.
    others
        n_v, shape (n,).
    popularity
        How far videos that everybody watches are held down: 0 gives counts, 0.5 the cosine, 1 how much more often than by chance.
    """
    weights: Weights = counts / (max(own, 1.0) * (others + SMOOTHING)) ** popularity
    return weights


def heaviest(codes: NDArray[np.int32], weights: Weights, n: int) -> NDArray[np.intp]:
    """Return the places of the n largest weights, largest first, ties by the smaller code.

    >>> heaviest(np.array([7, 3, 5], dtype=np.int32), np.array([1.0, 1.0, 2.0]), 2).tolist()
    [2, 1]
    """
    places = np.arange(len(codes))
    if n < len(codes):
        places = np.flatnonzero(weights >= np.partition(weights, len(codes) - n)[len(codes) - n])
    order: NDArray[np.intp] = places[np.lexsort((codes[places], -weights[places]))[:n]]
    return order


def four_digits(weights: Weights) -> Weights:
    """Round positive numbers to four digits: they say enough, in a third of the bytes.

    >>> four_digits(np.array([0.0123456, 12345.6])).tolist()
    [0.01235, 12350.0]
    """
    digits = 10.0 ** (3 - np.floor(np.log10(weights)))
    rounded: Weights = np.round(weights * digits) / digits
    return rounded
