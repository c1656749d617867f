"""Any estimator of river, learning beside the champion from the same examples, at a bounded share of the time."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import base
from river.__version__ import __version__ as VERSION

from operators.learners.of_river import of_river
from operators.learners.validation import Validation
from schemas.learning import LearningMetrics

CHALLENGER = "challenger"
_CHAMPION = "champion"
_MOST_SAVED_S = 0.1
_RATE = 0.02
_ALWAYS = (0, 0)
# An abstract class is no type[...] to mypy.
_CLASSIFIER: Any = base.Classifier


class Lesson(NamedTuple):
    """What the champion has just learned.

    Parameters
    ----------
    row
        The standardised features, shape (n_features,) float64.
    labels
        0, 1 or None (not known) of each head.
    predicted
        The champion's probability of each head, before it learned.
    """

    row: NDArray[np.float64]
    labels: Sequence[int | None]
    predicted: Sequence[float]


class Challenger:
    """One river classifier per head, validated and taught by what the champion learns; nothing of it reaches an answer.

    It may take `share` of one processor's time, pickling included: of the lessons it gets 1 in n, n as great as its own cost and their
    rate ask, so a learner with time to spare teaches it everything. Which ones depends on the clock, so its figures are reproducible
    only where n is 1; the champion's always are. An estimator that raises, predicts what is no probability or outgrows `max_bytes` is
    switched off, with the reason, until another one is named. One that never returns stops the learner: that cannot be guarded
    against within a process.

    The snapshot pickles the models, for a tree cannot be had again from its rows: the topic's records are gone after a week, and with 1
    in n nobody knows which it saw. It is read from the part's own recovery folder only, and only where estimator, parameters and river's
    version are the same; else the challenger begins anew. No more time goes to pickling than to learning: while that would be so,
    the snapshot holds the models as they were pickled last, and a crash takes what they learned since.

    Parameters
    ----------
    estimator, params
        Name of a classifier of river and its parameters, see `of_river`.
    heads, features
        Names of the heads and of the features.
    share
        Of one processor's time, in (0, 1]; the champion keeps the rest where it needs it.
    window
        Predictions that the metrics look back on.
    max_bytes
        Of the pickled models.
    seed
        Where the estimator takes one.
    clock
        Seconds that go on; by default they stand still, so that it costs nothing and sees all.

    Attributes
    ----------
    off : str
        Why it learns no more; empty while it does.
    """

    def __init__(
        self,
        *,
        estimator: str,
        params: Mapping[str, Any] | None = None,
        heads: Sequence[str],
        features: Sequence[str],
        share: float = 0.2,
        window: int = 5_000,
        max_bytes: int = 16 * 2**20,
        seed: int = 0,
        clock: Callable[[], float] = float,
    ) -> None:
        if not 0 < share <= 1:
            message = f"expected more than 0 and at most 1, got {share}, at share"
            raise ValueError(message)
        self.estimator = estimator
        self.params = dict(params or {})
        self.heads = tuple(heads)
        self.features = tuple(features)
        self.share = share
        self.window = window
        self.max_bytes = max_bytes
        self.seed = seed
        self.clock = clock
        self.off = ""
        self._own, self._champions = (Validation(model=name, heads=self.heads, window=window) for name in (CHALLENGER, _CHAMPION))
        self._models: dict[str, base.Classifier] = {}
        self._offered = self._taken = 0
        self._looked_at = clock()
        self._saved_s = self._earned_s = self._cost_s = 0.0
        self._learned_s = self._pickle_s = 0.0
        self._pickle = b""
        self._guarded(self._make)

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Predict, validate and learn some of the lessons, in their order."""
        if not lessons or self.off:
            return
        began = self.clock()
        earned_s, self._looked_at = self.share * (began - self._looked_at), began
        self._saved_s = min(self._saved_s + earned_s, _MOST_SAVED_S)
        self._earned_s = _mean(self._earned_s, earned_s / len(lessons))
        before = self._taken
        self._guarded(lambda: self._learn(lessons, began))
        for validation in (self._own, self._champions):
            validation.settle()
        spent_s = self.clock() - began
        self._saved_s -= spent_s
        self._learned_s += spent_s
        if self._taken > before:
            self._cost_s = _mean(self._cost_s, spent_s / (self._taken - before))

    def metrics(self, as_of_ms: int) -> list[LearningMetrics]:
        """Return its metrics beside the champion's on the same predictions; without figures if it was off from the start."""
        found = self._own.metrics(as_of_ms)
        if self.off and not found:
            nothing = {"window": 0, "examples": 0, "positives": 0, "auc": None, "log_loss": 0.0, "calibration": 0.0}
            found = [LearningMetrics(model=CHALLENGER, head=head, as_of_ms=as_of_ms, **nothing) for head in self.heads]  # type: ignore[arg-type]
        champions = {one.head: one for one in self._champions.metrics(as_of_ms)}
        return [
            msgspec.structs.replace(
                one,
                estimator=self.estimator,
                sampled=round(self._taken / self._offered, 4) if self._offered else 0.0,
                champion_auc=champions[one.head].auc if one.head in champions else None,
                champion_log_loss=champions[one.head].log_loss if one.head in champions else None,
                off=self.off or None,
            )
            for one in found
        ]

    def _make(self) -> None:
        for head in self.heads:
            self._models[head] = of_river(_CLASSIFIER, self.estimator, self.params, seed=self.seed)

    def _learn(self, lessons: Sequence[Lesson], began: float) -> None:
        stride = max(1, math.ceil(self._cost_s / self._earned_s)) if self._earned_s > 0 else 1
        first = -self._offered % stride
        self._offered += len(lessons)
        for lesson in lessons[first::stride]:
            if self.clock() - began > self._saved_s:
                return
            self._take(lesson)

    def _take(self, lesson: Lesson) -> None:
        self._taken += 1
        x: dict[Any, Any] = dict(zip(self.features, lesson.row.tolist(), strict=True))
        for head, label, champions in zip(self.heads, lesson.labels, lesson.predicted, strict=True):
            if label is None:
                continue
            p = _probability(self._models[head].predict_proba_one(x))
            self._own.add(head, (p,), 0 if label else -1, _ALWAYS)
            self._champions.add(head, (champions,), 0 if label else -1, _ALWAYS)
            self._models[head].learn_one(x, bool(label))

    def _guarded(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:
            self._switch_off(f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error))

    def _switch_off(self, reason: str) -> None:
        self.off = " ".join(reason.split())[:200] or "it raised"
        self._models, self._pickle = {}, b""

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        if not self.off and self._learned_s >= self._pickle_s:
            self._guarded(self._pickle_models)
        return {
            "of": self._of(),
            "models": self._pickle,
            "off": self.off,
            "counts": (self._offered, self._taken),
            "own": self._own.dump(),
            "champions": self._champions.dump(),
        }

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned, unless it is of another estimator, other parameters or another river."""
        if learned["of"] != self._of():
            return
        self._offered, self._taken = learned["counts"]
        self._own.load(learned["own"])
        self._champions.load(learned["champions"])
        if learned["off"]:
            self._switch_off(learned["off"])
        elif learned["models"]:
            self._pickle = learned["models"]
            self._guarded(self._unpickle_models)

    def _pickle_models(self) -> None:
        began = self.clock()
        self._pickle = pickle.dumps(self._models)
        self._pickle_s = self.clock() - began
        self._saved_s -= self._pickle_s
        self._learned_s = 0.0
        if len(self._pickle) > self.max_bytes:
            self._switch_off(f"its models take {len(self._pickle):,} bytes, more than {self.max_bytes:,}")

    def _unpickle_models(self) -> None:
        self._models = pickle.loads(self._pickle)

    def _of(self) -> str:
        return f"{VERSION} {self.estimator} {sorted(self.params.items())} {self.heads} {self.features} {self.window} {self.seed}"


def _probability(predicted: Mapping[Any, float]) -> float:
    """Return the probability of True; before both labels were seen an estimator may know one or none."""
    p = float(predicted[True]) if True in predicted else 0.0 if predicted else 0.5
    if not 0.0 <= p <= 1.0:
        message = f"expected a probability, got {p}"
        raise ValueError(message)
    return p


def _mean(mean: float, new: float) -> float:
    return mean + _RATE * (new - mean) if mean else new
