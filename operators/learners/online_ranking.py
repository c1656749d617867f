"""Labelled examples → predict, validate, learn → weights of the ranker's heads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.base import Example, State, StreamOperator
from operators.learners.challenger import Challenger, Lesson
from operators.learners.choices import OpenChoices, choice_of, row_of, sample
from operators.learners.ranking_model import LOGISTIC_HEADS, TAKEN, RankingModel
from operators.learners.seen_ids import SeenIds
from operators.learners.standard import Standard
from operators.learners.validation import Validation
from schemas.learning import DriftAlarm, LabelledExample, LearningMetrics, OnlineWeights

Learned = OnlineWeights | LearningMetrics | DriftAlarm

_LINEAR = "river.linear_model.LogisticRegression"
_MS = timedelta(milliseconds=1)


class OnlineRanking(StreamOperator[LabelledExample, Learned]):
    """Learns the ranker's heads from examples, each predicted before it is learned.

    What it learns is a `RankingModel`, from the time on that the scale of the features is known; `taken` from each item that was taken with
    those passed over, the other heads from the items that were seen.

    Weights depend on the order of the examples, and on nothing else. Repeats fold by example id. What is not finite, of another size or of
    another feature set is counted in `counts` and skipped; a snapshot of another feature set is not learned on from.

    Parameters
    ----------
    feature_set, names
        What the ranker computes.
    initial
        Weights per head that the ranker starts from, shape (n_features + 1,), the bias last.
    model
        Name of the model.
    lr
        Learning rate, > 0.
    choice_start, logistic_start
        Squared gradients that are assumed before the first example; greater makes the first steps shorter.
    l2
        Pull towards the initial weights, ≥ 0.
    warm_up
        Items until the features' scale is fixed and learning begins.
    window
        Predictions that the metrics look back on.
    max_ids, max_choices
        Example ids remembered, and choices kept open.
    weights_every, metrics_every
        Shortest time between two of them.
    detector, detector_params
        What watches the loss of each head, see `operators.drift.LossChange`; without a name nothing does.
    challenger
        Learns beside it from the items that were seen, its binary heads only.
    published
        Greatest version on the topic when this process started; versions up to it are not sent again, and a learner that
        starts from nothing counts on from it.

    Examples
    --------
    >>> ranking = OnlineRanking(feature_set="small", names=("a", "b"), initial={}, warm_up=4)
    >>> ranking.on_batch(sample())
    []
    >>> weights, *metrics = ranking.on_time(1_650_000_000_000)
    >>> weights.version, sorted(weights.heads)[:3], metrics[0].head
    (51, ['click', 'finish', 'follow'], 'taken')
    """

    def __init__(
        self,
        *,
        feature_set: str,
        names: Sequence[str],
        initial: Mapping[str, NDArray[np.float32]],
        model: str = "online",
        lr: float = 0.1,
        choice_start: float = 0.01,
        logistic_start: float = 1.0,
        l2: float = 1e-4,
        warm_up: int = 200,
        window: int = 5_000,
        max_ids: int = 100_000,
        max_choices: int = 1_000,
        weights_every: timedelta = timedelta(milliseconds=500),
        metrics_every: timedelta = timedelta(seconds=5),
        detector: str = "ADWIN",
        detector_params: Mapping[str, Any] | None = None,
        challenger: Challenger | None = None,
        published: int = 0,
    ) -> None:
        self.feature_set = feature_set
        self.names = tuple(names)
        self.initial = {head: np.array(weights, dtype=np.float64) for head, weights in initial.items()}
        self.model = model
        self.lr = lr
        self.choice_start = choice_start
        self.logistic_start = logistic_start
        self.l2 = l2
        self.warm_up = warm_up
        self.window = window
        self.max_ids = max_ids
        self.max_choices = max_choices
        self.weights_every = weights_every
        self.metrics_every = metrics_every
        self.detector = detector
        self.detector_params = detector_params
        self.challenger = challenger
        self.published = published
        self.counts: Counter[str] = Counter()
        self._base = published
        self._taken_in = self._weights_at = self._metrics_at = 0
        self._weights_due_ms = self._metrics_due_ms = self._outcome_ms = 0
        self._seen = SeenIds(max_ids=max_ids)
        self._choices = OpenChoices(max_open=max_choices)
        self._standard = Standard(n_features=len(self.names), warm_up=warm_up)
        self.validation = Validation(model=model, heads=(TAKEN, *LOGISTIC_HEADS), window=window, detector=detector, params=detector_params)
        self._lessons: list[Lesson] = []
        self._model: RankingModel | None = None

    def on_batch(self, batch: Sequence[LabelledExample]) -> list[Learned]:
        """Learn from examples in order; return the changes of the losses that show."""
        for example in batch:
            self._take_in(example)
        alarms: list[Learned] = [*self.validation.settle()]
        if self.challenger is not None:
            lessons, self._lessons = self._lessons, []
            self.challenger.learn(lessons)
        return alarms

    def on_time(self, now_ms: int) -> list[Learned]:
        """Return weights and metrics if they have changed and enough time has passed since the last ones."""
        out: list[Learned] = []
        if self._taken_in > self._weights_at and now_ms >= self._weights_due_ms and self._model is not None:
            self._weights_at, self._weights_due_ms = self._taken_in, now_ms + self.weights_every // _MS
            if self.version > self.published:
                out.append(self.weights(now_ms))
        if self._taken_in > self._metrics_at and now_ms >= self._metrics_due_ms:
            self._metrics_at, self._metrics_due_ms = self._taken_in, now_ms + self.metrics_every // _MS
            out += self.metrics()
        return out

    @property
    def has_news(self) -> bool:
        """Whether something will be due as time passes."""
        return self._taken_in > min(self._weights_at if self._model is not None else self._taken_in, self._metrics_at)

    @property
    def version(self) -> int:
        """The version of the weights: grows by one with each distinct example."""
        return self._base + self._taken_in

    def weights(self, now_ms: int) -> OnlineWeights:
        """Return the weights of all heads as they stand."""
        return OnlineWeights(
            model=self.model,
            version=self.version,
            feature_set=self.feature_set,
            updated_ms=now_ms,
            examples=self._taken_in,
            heads={head: weights.astype(np.float32).tobytes() for head, weights in (() if self._model is None else self._model.weights())},
        )

    def metrics(self) -> list[LearningMetrics]:
        """Return the metrics of each head that has been validated, and the challenger's."""
        own = self.validation.metrics(self._outcome_ms)
        return own if self.challenger is None else [*own, *self.challenger.metrics(self._outcome_ms)]

    def _take_in(self, example: LabelledExample) -> None:
        if not self._seen.admits(example.example_id):
            self.counts["repeats"] += 1
            return
        self._taken_in += 1
        self._outcome_ms = max(self._outcome_ms, example.outcome_ms)
        if example.feature_set != self.feature_set:
            self.counts["other_feature_set"] += 1
            return
        row = row_of(example, len(self.names))
        if row is None:
            self.counts["unfit"] += 1
            return
        if not self._standard.is_fixed:
            self.counts["warm_up"] += 1
            if self._standard.see(row.astype(np.float64)):
                self._model = self._begin()
            return
        taken = choice_of(example)
        if taken is not None:
            self._choices.add(taken, row)
            return
        self.counts["seen"] += 1
        self._learn_seen(example, self._standard.of(row.astype(np.float64)))
        if example.labels.get(TAKEN):
            self._learn_choice([*self._choices.take(example.example_id), row])

    def _begin(self) -> RankingModel:
        return RankingModel(
            names=self.names,
            initial=self.initial,
            standard=self._standard,
            lr=self.lr,
            choice_start=self.choice_start,
            logistic_start=self.logistic_start,
            l2=self.l2,
        )

    def _learn_seen(self, example: LabelledExample, row: NDArray[np.float64]) -> None:
        if self._model is None:
            return
        labels = [example.labels.get(head) for head in LOGISTIC_HEADS]
        known = np.array([np.nan if label is None else label for label in labels], dtype=np.float64)
        predicted = self._model.heads.learn_row(np.append(row, 1.0), known)
        self.validation.add_row(LOGISTIC_HEADS, predicted, known, (self._taken_in, self._outcome_ms))
        if self.challenger is not None:
            self._lessons.append(Lesson(row=row, labels=labels, predicted=predicted.tolist()))

    def _learn_choice(self, rows: list[NDArray[np.float32]]) -> None:
        if len(rows) < 2 or self._model is None:
            self.counts["no_choice"] += 1
            return
        self.counts["choices"] += 1
        chosen = len(rows) - 1
        predicted = self._model.choice.learn_choice(self._standard.of(np.array(rows, dtype=np.float64)), chosen).tolist()
        self.validation.add(TAKEN, predicted, chosen, (self._taken_in, self._outcome_ms))

    def snapshot(self) -> State:
        """Return all that was learned and seen."""
        return {
            "version": self.VERSION,
            "feature_set": self.feature_set,
            "base": self._base,
            "taken_in": self._taken_in,
            "weights": (self._weights_at, self._weights_due_ms),
            "metrics": (self._metrics_at, self._metrics_due_ms),
            "outcome_ms": self._outcome_ms,
            "counts": dict(self.counts),
            "seen": self._seen.dump(),
            "choices": self._choices.dump(),
            "standard": self._standard.dump(),
            **self.validation.dump(),
            "challenger": None if self.challenger is None else self.challenger.dump(),
            **({"choice": None, "heads": None} if self._model is None else self._model.dump()),
        }

    def restore(self, state: State) -> None:
        """Become what a snapshot says; what was learned of another feature set is left out, and only versions grow on."""
        self.check_version(state)
        self._seen.load(state["seen"])
        # A snapshot that names no feature set may be of any.
        if state.get("feature_set") != self.feature_set:
            self._base = max(self.published, state["base"] + state["taken_in"])
            return
        self._base, self._taken_in, self._outcome_ms = state["base"], state["taken_in"], state["outcome_ms"]
        self._weights_at, self._weights_due_ms = state["weights"]
        self._metrics_at, self._metrics_due_ms = state["metrics"]
        self.counts = Counter(state["counts"])
        self._choices.load(state["choices"])
        self._standard.load(state["standard"])
        self.validation.load(state)
        if self.challenger is not None and state.get("challenger") is not None:
            self.challenger.load(state["challenger"])
        if self._standard.is_fixed:
            self._model = self._begin()
            self._model.load(state)

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield choices and views with repeats, strangers and what is not finite; then with alarms and a challenger."""
        small: dict[str, Any] = {"feature_set": "small", "names": ("a", "b"), "warm_up": 4}
        yield Example(make=lambda: cls(initial={TAKEN: np.array([1.0, 0.0, 0.0], np.float32)}, **small), events=sample(), finish_ms=10_000)
        yield Example(
            make=lambda: cls(
                initial={},
                detector="PageHinkley",
                detector_params={"min_instances": 3, "threshold": 0.1},
                challenger=Challenger(estimator=_LINEAR, heads=LOGISTIC_HEADS, features=("a", "b")),
                **small,
            ),
            events=sample(),
            finish_ms=10_000,
        )
