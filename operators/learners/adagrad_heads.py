"""Several logistic regressions on the same features, learned in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.learners.adagrad import AdaGrad
from operators.learners.adagrad_logistic import AdaGradLogistic

Floats = NDArray[np.float64]


class AdaGradHeads:
    r"""One `AdaGradLogistic` per head, in one table; a row costs the same numpy calls however many heads there are.

    Each head is a river classifier whose weights are a row of the table: what it learns one by one and what the table learns from
    a row are the same weights. A head without a label for a row neither moves nor decays. There is no intercept: give the rows a
    column of ones.

    Parameters
    ----------
    heads
        Names of the heads.
    features
        Names of the features, in the order of the columns.
    prior
        Weights before anything was learned, shape (n_heads, n_features).
    lr
        Learning rate, > 0.
    start
        Squared gradients before the first example, > 0.
    l2
        Pull towards the prior, ≥ 0.

    Attributes
    ----------
    models : dict of str to AdaGradLogistic
        The classifier of each head.

    Examples
    --------
    >>> heads = AdaGradHeads(heads=("like", "share"), features=("one",), prior=np.zeros((2, 1)))
    >>> for _ in range(20):
    ...     _ = heads.learn_row(np.array([1.0]), np.array([1.0, np.nan]))
    >>> heads.predict_row(np.array([1.0])).round(1).tolist()
    [0.6, 0.5]
    >>> heads.models["like"].predict_one({"one": 1.0})
    True
    """

    def __init__(
        self, *, heads: Sequence[str], features: Sequence[str], prior: Floats, lr: float = 0.1, start: float = 1.0, l2: float = 0.0
    ) -> None:
        self.heads = tuple(heads)
        self.features = tuple(features)
        self.prior = prior
        self.lr = lr
        self.start = start
        self.l2 = l2
        self._step = AdaGrad(prior=prior, lr=lr, start=start, l2=l2)
        self.models = {head: AdaGradLogistic.on(self._step.row(place), self.features) for place, head in enumerate(self.heads)}

    def predict_row(self, row: Floats) -> Floats:
        """Return the probability of each head for one row, shape (n_heads,)."""
        p: Floats = 1.0 / (1.0 + np.exp(-np.clip(self._step.weights @ row, -500.0, 500.0)))
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
        self._step.down(np.where(known, p - labels, 0.0)[:, None] * row, known[:, None])
        return p

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return self._step.dump()

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self._step.load(learned)
