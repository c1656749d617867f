"""The online ranker: a linear logit per head, weighted by the objective."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from operators.query import Query


class OnlineRanker:
    r"""Scores by initial weights plus whatever was learned since.

    score(x) = Σ_h objective_h · (bias_h + Σ_f (initial_hf + online_hf) · x_f)

    The heads' weights are folded into one vector first, in the order of their names; then one feature after the other is added for all
    candidates at once, without any BLAS. So a candidate's score has the same bits whoever stands beside it, in whatever place.

    Parameters
    ----------
    initial
        Weights per head before anything was learned, shape (n_features + 1,), the bias last. Heads that are not here start at 0.
    """

    def __init__(self, *, initial: Mapping[str, NDArray[np.float32]]) -> None:
        self.initial = dict(initial)

    def weights(self, query: Query) -> NDArray[np.float64]:
        """Return the folded weights, shape (n_features + 1,), the bias last."""
        tables = query.tables
        folded = np.zeros(tables.weights.n_features + 1, dtype=np.float64)
        for head, share in sorted(tables.objective.current.heads.items()):
            for part in (self.initial.get(head), tables.weights.heads.get(head)):
                if part is not None:
                    folded += share * part.astype(np.float64)
        return folded

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the score of each column of `values` (n_features, n), shape (n,)."""
        weights = self.weights(query).tolist()
        scores = np.full(values.shape[1], weights[-1], dtype=np.float64)
        for weight, column in zip(weights[:-1], values, strict=True):
            if weight != 0:
                scores += weight * column.astype(np.float64)
        return scores
