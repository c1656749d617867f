"""The model of the ranker's heads in standardised features, and its weights for the features as served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.learners.adagrad_choice import AdaGradChoice
from operators.learners.adagrad_heads import AdaGradHeads
from operators.learners.standard import Standard
from schemas.learning import HEADS

Floats = NDArray[np.float64]

TAKEN = "taken"
LOGISTIC_HEADS = tuple(head for head in HEADS if head != TAKEN)


class RankingModel:
    """`taken` as a choice among the items of an answer, every other head as a logistic regression.

    The weights that go out are for the features as served, less the initial ones, because the ranker adds those:
    w = w_z / sd - initial, bias = b_z - Σ w · mean - initial.

    Parameters
    ----------
    names
        The features.
    initial
        Weights per head that the ranker starts from, shape (n_features + 1,), the bias last.
    standard
        The scale of the features, fixed.
    lr, choice_start, logistic_start, l2
        See `operators.learners.adagrad.AdaGrad`.

    Attributes
    ----------
    choice : AdaGradChoice
        The head `taken`.
    heads : AdaGradHeads
        The other heads; their last feature is a one.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        initial: Mapping[str, Floats],
        standard: Standard,
        lr: float,
        choice_start: float,
        logistic_start: float,
        l2: float,
    ) -> None:
        self.initial = initial
        self.standard = standard
        self._zero = np.zeros(len(names) + 1)
        prior = dict(zip(names, self._prior(TAKEN)[:-1].tolist(), strict=True))
        self.choice = AdaGradChoice(prior=prior, lr=lr, start=choice_start, l2=l2)
        table = np.array([self._prior(head) for head in LOGISTIC_HEADS])
        self.heads = AdaGradHeads(heads=LOGISTIC_HEADS, features=(*names, "bias"), prior=table, lr=lr, start=logistic_start, l2=l2)

    def weights(self) -> Iterator[tuple[str, Floats]]:
        """Yield each head with what the ranker adds to its initial weights, shape (n_features + 1,)."""
        # A bias is the same for all items of an answer: the choice says nothing of it, and the initial one stays.
        raw = self.standard.raw(np.append(self.choice.weights, 0.0))
        yield TAKEN, np.append(raw[:-1] - self.initial.get(TAKEN, self._zero)[:-1], 0.0)
        for head, model in self.heads.models.items():
            yield head, self.standard.raw(model.weights) - self.initial.get(head, self._zero)

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {"choice": self.choice.dump(), "heads": self.heads.dump()}

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self.choice.load(learned["choice"])
        self.heads.load(learned["heads"])

    def _prior(self, head: str) -> Floats:
        return self.standard.scaled(self.initial.get(head, self._zero))
