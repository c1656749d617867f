"""The online ranker: a linear logit per head, weighted by the objective."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from operators.query import Query
from operators.ranking.features import INITIAL, NAMES, TAKEN
from operators.stages import Scorer
from schemas.feed import Level
from schemas.learning import HEADS

LARGEST_LOGIT = 30.0


class OnlineRanker(Scorer):
    r"""Scores by initial weights plus whatever was learned since.

    score(x) = Σ_h objective_h · (bias_h + Σ_f (initial_hf + online_hf) · x_f)

    The heads' weights are folded into one vector first, in the order of their names; then one feature after the other is added for all
    candidates at once, without any BLAS. So a candidate's score has the same bits whoever stands beside it, in whatever place.

    p_h(x) = 1 / (1 + exp(-logit_h(x))), for each head but `taken`: that one is learned as a choice within an answer, so that its logit
    orders candidates and is nobody's probability.

    Parameters
    ----------
    initial
        Weights per head before anything was learned, shape (n_features + 1,), the bias last. Heads that are not here start at 0.
    level
        The level of an answer that it decides.
    """

    name = "rank"
    inputs = NAMES
    heads = tuple(head for head in HEADS if head != TAKEN)

    def __init__(self, *, initial: Mapping[str, NDArray[np.float32]], level: Level = Level.FULL) -> None:
        self.initial = dict(initial)
        self.level = level

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield the feed's own, and one that starts from nothing."""
        yield cls(initial=INITIAL)
        yield cls(initial={})

    def weights(self, query: Query) -> NDArray[np.float64]:
        """Return the folded weights, shape (n_features + 1,), the bias last."""
        tables = query.tables
        folded = np.zeros(tables.weights.n_features + 1, dtype=np.float64)
        for head, share in sorted(tables.objective.current.heads.items()):
            for part in self._parts(query, head):
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

    def predict(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each head for each column of `values`, shape (n_heads, n)."""
        weights = np.zeros((len(self.heads), len(values) + 1), dtype=np.float32)
        for h, head in enumerate(self.heads):
            for part in self._parts(query, head):
                weights[h] += part
        logits = np.repeat(weights[:, -1:], values.shape[1], axis=1)
        for f in np.flatnonzero(weights[:, :-1].any(axis=0)).tolist():
            logits += weights[:, f, np.newaxis] * values[f]
        probabilities = 1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)))
        return probabilities.astype(np.float32, copy=False)

    def _parts(self, query: Query, head: str) -> list[NDArray[np.float32]]:
        """Return what a head's weights are the sum of: the initial ones, and those that were learned."""
        return [part for part in (self.initial.get(head), query.tables.weights.heads.get(head)) if part is not None]
