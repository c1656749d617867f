"""Learns what is chosen out of a few: the listwise ranking loss, on flat arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

Rows = NDArray[np.float64]


class AdaGradChoice(base.Estimator):
    r"""Conditional logit (softmax over the items of one answer) with AdaGrad steps, pulled towards a prior.

    .. math::
        p_k = \frac{e^{w \cdot x_k}}{\sum_j e^{w \cdot x_j}}, \quad
        g = \sum_k (p_k - y_k) x_k + \lambda (w - w_0), \quad
        G \leftarrow G + g^2, \quad
        w \leftarrow w - \frac{\eta}{\sqrt{G + \epsilon}} g

    What is the same for all items of a choice (a bias, a feature of the person) has no gradient. A choice of two is a logistic regression
    on the difference of their features.

    Parameters
    ----------
    prior
        Weights w₀ before anything was learned, shape (n_features,).
    lr
        Learning rate η > 0; the first step of a weight is about this long.
    start
        G before the first choice, > 0; greater makes the first steps shorter.
    l2
        Strength λ ≥ 0 of the pull towards the prior; 0 lets the weights go anywhere.

    Examples
    --------
    >>> model = AdaGradChoice(prior=np.zeros(1))
    >>> for _ in range(20):
    ...     _ = model.learn_choice(np.array([[1.0], [3.0], [2.0]]), 1)
    >>> model.predict_choice(np.array([[1.0], [3.0]])).round(1).tolist()
    [0.2, 0.8]

    References
    ----------
    McFadden: Conditional logit analysis of qualitative choice behavior (1974). Cao et al.: Learning to rank, from pairwise approach to
    listwise approach (ICML 2007).
    """

    def __init__(self, *, prior: NDArray[np.float64], lr: float = 0.1, start: float = 0.01, l2: float = 0.0) -> None:
        if not (lr > 0 and start > 0 and l2 >= 0):
            message = f"expected lr, start > 0 and l2 >= 0, got {lr}, {start}, {l2}"
            raise ValueError(message)
        self.prior = prior
        self.lr = lr
        self.start = start
        self.l2 = l2
        self._prior = np.array(prior, dtype=np.float64)
        self._weights = self._prior.copy()
        self._squares = np.full(len(self._prior), start, dtype=np.float64)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, shape (n_features,)."""
        return self._weights

    def predict_choice(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probability of each item to be chosen, shape (n,), for rows of shape (n, n_features)."""
        scores = rows @ self._weights
        odds: NDArray[np.float64] = np.exp(scores - scores.max())
        p: NDArray[np.float64] = odds / odds.sum()
        return p

    def learn_choice(self, rows: Rows, chosen: int) -> NDArray[np.float64]:
        """Learn from one choice; return the probability of each item before that, shape (n,).

        Parameters
        ----------
        rows
            The items, shape (n, n_features).
        chosen
            The row that was chosen.
        """
        p = self.predict_choice(rows)
        error = p.copy()
        error[chosen] -= 1.0
        gradient = error @ rows
        if self.l2:
            gradient += self.l2 * (self._weights - self._prior)
        self._squares += gradient * gradient
        self._weights -= self.lr / np.sqrt(self._squares) * gradient
        return p

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {"weights": self._weights.tobytes(), "squares": self._squares.tobytes(), "prior": self._prior.tobytes()}

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self._weights = np.frombuffer(learned["weights"]).copy()
        self._squares = np.frombuffer(learned["squares"]).copy()
        self._prior = np.frombuffer(learned["prior"]).copy()
