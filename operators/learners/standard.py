"""Brings features to one scale, fixed once enough of them have been seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FLAT = 1e-3


class Standard:
    """Mean and standard deviation of the first rows; fixed from then on, so that weights keep their meaning.

    z = (x - mean) / sd. A feature that did not vary (sd < 0.001) is centred only.

    Parameters
    ----------
    n_features
        Columns of a row.
    warm_up
        Rows until mean and deviation are fixed, 2 or more; more is surer and begins to learn later.

    Examples
    --------
    >>> standard = Standard(n_features=1, warm_up=2)
    >>> standard.see(np.array([1.0])), standard.see(np.array([3.0]))
    (False, True)
    >>> standard.of(np.array([5.0]))
    array([3.])
    """

    def __init__(self, *, n_features: int, warm_up: int) -> None:
        if warm_up < 2:
            message = f"expected 2 or more, got {warm_up}, at warm_up"
            raise ValueError(message)
        self.n_features = n_features
        self.warm_up = warm_up
        self._seen = 0
        self._mean = np.zeros(n_features)
        self._squares = np.zeros(n_features)
        self._deviation = np.ones(n_features)

    @property
    def is_fixed(self) -> bool:
        """Whether the warm-up is over."""
        return self._seen >= self.warm_up

    @property
    def mean(self) -> Floats:
        """Mean of each feature, shape (n_features,)."""
        return self._mean

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each feature, 1 where it is flat, shape (n_features,)."""
        return self._deviation

    def see(self, row: Floats) -> bool:
        """Take in a row of the warm-up, shape (n_features,); return whether it was the last one."""
        self._seen += 1
        before = row - self._mean
        self._mean += before / self._seen
        self._squares += before * (row - self._mean)
        if self._seen == self.warm_up:
            found = np.sqrt(self._squares / self._seen)
            self._deviation = np.where(found < FLAT, 1.0, found)
        return self._seen == self.warm_up

    def of(self, rows: Floats) -> Floats:
        """Return rows on the common scale, shape (..., n_features)."""
        return (rows - self._mean) / self._deviation

    def scaled(self, weights: Floats) -> Floats:
        """Return what weights for features as they come, the bias last, are for the common scale: w sd, bias + Σ w · mean."""
        return np.append(weights[:-1] * self._deviation, weights[-1] + float(weights[:-1] @ self._mean))

    def raw(self, weights: Floats) -> Floats:
        """Return what weights for the common scale, the bias last, are for features as they come: w / sd, bias - Σ w · mean."""
        raw = weights[:-1] / self._deviation
        return np.append(raw, weights[-1] - float(raw @ self._mean))

    def dump(self) -> dict[str, Any]:
        """Return what was seen, as plain data."""
        return {
            "seen": self._seen,
            "mean": self._mean.tobytes(),
            "squares": self._squares.tobytes(),
            "deviation": self._deviation.tobytes(),
        }

    def load(self, seen: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self._seen = seen["seen"]
        self._mean = np.frombuffer(seen["mean"]).copy()
        self._squares = np.frombuffer(seen["squares"]).copy()
        self._deviation = np.frombuffer(seen["deviation"]).copy()
