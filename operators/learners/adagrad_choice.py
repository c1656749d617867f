"""Learns what is chosen out of a few: the listwise ranking loss, on flat arrays."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from operators.learners.adagrad import AdaGrad, Columns

Rows = NDArray[np.float64]


class AdaGradChoice(base.Estimator):
    r"""Conditional logit (softmax over the items of one answer) with AdaGrad steps, pulled towards a prior.

    .. math::
        p_k = \frac{e^{w \cdot x_k}}{\sum_j e^{w \cdot x_j}}, \quad
        g = \sum_k (p_k - y_k) x_k

    and `AdaGrad` goes down g. It is a river estimator whose example is a whole choice: `x` maps each item to its features, `y` is the item
    taken. River's `Classifier` and `reco.Ranker` learn from one row or one pair at a time, and a choice says nothing of an item
    without the others, so it is neither.

    What is the same for all items of a choice (a bias, a feature of the person) has no gradient. A choice of two is a logistic regression
    on the difference of their features.

    Parameters
    ----------
    prior
        Weights w₀ before anything was learned, by feature name, in the order of the columns; features that are not here start at 0.
    lr
        Learning rate η > 0; the first step of a weight is about this long.
    start
        G before the first choice, > 0; greater makes the first steps shorter.
    l2
        Strength λ ≥ 0 of the pull towards the prior; 0 lets the weights go anywhere.

    Examples
    --------
    >>> model = AdaGradChoice()
    >>> for _ in range(20):
    ...     model.learn_one({"v1": {"sun": 1.0}, "v2": {"sun": 3.0}, "v3": {"sun": 2.0}}, "v2")
    >>> model.predict_one({"v8": {"sun": 1.0}, "v9": {"sun": 3.0}})
    'v9'
    >>> model.predict_choice(np.array([[1.0], [3.0]])).round(1).tolist()
    [0.2, 0.8]

    References
    ----------
    McFadden: Conditional logit analysis of qualitative choice behavior (1974). Cao et al.: Learning to rank, from pairwise approach to
    listwise approach (ICML 2007).
    """

    def __init__(self, *, prior: Mapping[str, float] | None = None, lr: float = 0.1, start: float = 0.01, l2: float = 0.0) -> None:
        self.prior = prior
        self.lr = lr
        self.start = start
        self.l2 = l2
        given = prior or {}
        self._columns = Columns(names=given)
        self._step = AdaGrad(prior=np.array([float(one) for one in given.values()]), lr=lr, start=start, l2=l2)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, shape (n_features,), by column."""
        return self._step.weights

    def learn_one(self, x: Mapping[Hashable, Mapping[str, float]], y: Hashable) -> None:
        """Learn from one choice: the features of each item, and the item that was taken."""
        for features in x.values():
            missing = self._columns.add(features) - len(self._step.weights)
            if missing:
                self._step.grow(missing)
        self.learn_choice(self._rows(x), list(x).index(y))

    def predict_proba_one(self, x: Mapping[Hashable, Mapping[str, float]]) -> dict[Hashable, float]:
        """Return the probability of each item to be taken."""
        return dict(zip(x, self.predict_choice(self._rows(x)).tolist(), strict=True)) if x else {}

    def predict_one(self, x: Mapping[Hashable, Mapping[str, float]]) -> Hashable:
        """Return the item that is most likely taken, None out of none."""
        p = self.predict_proba_one(x)
        return max(p, key=p.__getitem__) if p else None

    def predict_choice(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probability of each item to be chosen, shape (n,), for rows of shape (n, n_features)."""
        scores = rows @ self._step.weights
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
        self._step.down(error @ rows)
        return p

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {"columns": self._columns.names, **self._step.dump()}

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self._columns = Columns(names=learned.get("columns", self._columns.names))
        self._step.load(learned)

    def _rows(self, x: Mapping[Hashable, Mapping[str, float]]) -> Rows:
        return np.array([self._columns.row(features, len(self._step.weights)) for features in x.values()])
