"""Several logistic regressions on the same features, learned in one go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class AdaGradHeads:
    r"""One `AdaGradLogistic` per head, in one table; a row costs the same numpy calls however many heads there are.

    A head without a label for a row neither moves nor decays. There is no intercept: give the rows a column of ones.

    Parameters
    ----------
    prior
        Weights before anything was learned, shape (n_heads, n_features).
    lr
        Learning rate, > 0.
    start
        Squared gradients before the first example, > 0.
    l2
        Pull towards the prior, ≥ 0.

    Examples
    --------
    >>> heads = AdaGradHeads(prior=np.zeros((2, 1)))
    >>> for _ in range(20):
    ...     _ = heads.learn_row(np.array([1.0]), np.array([1.0, np.nan]))
    >>> heads.predict_row(np.array([1.0])).round(1).tolist()
    [0.6, 0.5]
    """

    def __init__(self, *, prior: Floats, lr: float = 0.1, start: float = 1.0, l2: float = 0.0) -> None:
        if not (lr > 0 and start > 0 and l2 >= 0):
            message = f"expected lr, start > 0 and l2 >= 0, got {lr}, {start}, {l2}"
            raise ValueError(message)
        self.prior = prior
        self.lr = lr
        self.start = start
        self.l2 = l2
        self._prior = np.array(prior, dtype=np.float64)
        self._weights = self._prior.copy()
        self._squares = np.full(self._prior.shape, start, dtype=np.float64)

    @property
    def weights(self) -> Floats:
        """The weights, shape (n_heads, n_features)."""
        return self._weights

    def predict_row(self, row: Floats) -> Floats:
        """Return the probability of each head for one row, shape (n_heads,)."""
        p: Floats = 1.0 / (1.0 + np.exp(-np.clip(self._weights @ row, -500.0, 500.0)))
        return p

    def learn_row(self, row: Floats, labels: Floats) -> Floats:
        """Learn from one row; return the probability of each head before that, shape (n_heads,).

        Parameters
        ----------
        row
            Shape (n_features,).
        labels
            0, 1 or nan (not known) for each head, shape (n_heads,).
        """
        p = self.predict_row(row)
        known = ~np.isnan(labels)
        gradient = np.where(known, p - labels, 0.0)[:, None] * row
        if self.l2:
            gradient += self.l2 * (self._weights - self._prior) * known[:, None]
        self._squares += gradient * gradient
        self._weights -= self.lr / np.sqrt(self._squares) * gradient
        return p

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {"weights": self._weights.tobytes(), "squares": self._squares.tobytes(), "prior": self._prior.tobytes()}

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        shape = self._prior.shape
        self._weights = np.frombuffer(learned["weights"]).reshape(shape).copy()
        self._squares = np.frombuffer(learned["squares"]).reshape(shape).copy()
        self._prior = np.frombuffer(learned["prior"]).reshape(shape).copy()
