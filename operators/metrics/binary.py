"""Figures of merit of predicted probabilities against what happened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CLIP = 1e-15


def auc(p: Floats, y: Bools) -> float | None:
    """Return the probability that something that happened was predicted higher than something that did not; ties count half.

    AUC = (Σ rank of positives - n₁(n₁ + 1)/2) / (n₁ n₀), ranks from 1, the mean rank among ties.

    Parameters
    ----------
    p, y
        Predicted probability and whether it happened, shape (n,).

    Returns
    -------
    float or None
        None unless there is one of each.

    Examples
    --------
    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
    0.875
    """
    positives = int(y.sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2
    return float((ranks[place][y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(p: Floats, y: Bools) -> float:
    """Return the mean of -ln of the probability given to what happened; 0 is perfect, ln 2 a coin, nan without data.

    Examples
    --------
    >>> round(log_loss(np.array([0.5, 0.5]), np.array([True, False])), 4)
    0.6931
    """
    if not len(p):
        return float("nan")
    clipped = np.clip(p, CLIP, 1 - CLIP)
    return float(-np.log(np.where(y, clipped, 1 - clipped)).mean())


def calibration(p: Floats, y: Bools) -> float:
    """Return Σp / Σy: 1 is calibrated, 2 promises twice what happens; nan where nothing happened.

    Examples
    --------
    >>> calibration(np.array([0.5, 0.5, 1.0]), np.array([True, False, False]))
    2.0
    """
    happened = float(y.sum())
    return float(p.sum()) / happened if happened else float("nan")
