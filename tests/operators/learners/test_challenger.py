from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from river import linear_model, metrics

from operators.learners.challenger import Challenger, Lesson
from operators.learners.online_ranking import OnlineRanking
from operators.learners.ranking_model import LOGISTIC_HEADS
from schemas.learning import LearningMetrics
from tests.operators.learners.test_online_ranking import life

HEADS = ("like", "share")
LINEAR = "river.linear_model.LogisticRegression"
TREE = "river.tree.HoeffdingTreeClassifier"


class Clock:
    """Goes on by as much as it is told to with each look."""

    def __init__(self, look_s: float) -> None:
        self.look_s = look_s
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.look_s
        return self.now_s


def make(estimator: str = LINEAR, **settings: Any) -> Challenger:
    return Challenger(estimator=estimator, heads=HEADS, features=("a", "b"), **settings)


def lessons(n: int, seed: int = 1) -> list[Lesson]:
    """Likes go by the first feature; of every third item nobody knows whether it was shared."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 2))
    return [Lesson(row=row, labels=(int(row[0] > 0), None if i % 3 else i % 2), predicted=(0.5, 0.25)) for i, row in enumerate(rows)]


def of_head(challenger: Challenger, head: str = "like") -> LearningMetrics:
    return next(one for one in challenger.metrics(7) if one.head == head)


def test_its_metrics_are_those_of_rivers_model_validated_by_river() -> None:
    challenger = make()
    model: Any = linear_model.LogisticRegression()
    loss_of: Any = metrics.LogLoss
    loss, given = loss_of(), lessons(400)
    for lesson in given:
        x = dict(zip(("a", "b"), lesson.row.tolist(), strict=True))
        y = bool(lesson.labels[0])
        loss.update(y, model.predict_proba_one(x))
        model.learn_one(x, y)
    for at in range(0, 400, 30):
        challenger.learn(given[at : at + 30])
    like, share = of_head(challenger), of_head(challenger, "share")
    assert (like.model, like.estimator, like.examples, share.examples, like.as_of_ms) == ("challenger", LINEAR, 400, 134, 7)
    assert like.log_loss == pytest.approx(loss.get()) and like.auc is not None and like.auc > 0.95
    assert like.champion_auc == pytest.approx(0.5) and like.champion_log_loss == pytest.approx(np.log(2))
    assert (like.sampled, like.off) == (1.0, None)


@pytest.mark.parametrize(("look_s", "share"), [(0.001, 0.2), (0.010, 0.2), (0.010, 1.0), (0.000_05, 0.2)])
def test_it_takes_no_more_than_its_share_of_the_time(look_s: float, share: float) -> None:
    clock = Clock(look_s)
    challenger = make(share=share, clock=clock)
    spent_s = 0.0
    for seed in range(60):
        clock.now_s += 0.2
        began = clock.now_s
        challenger.learn(lessons(250, seed))
        spent_s += clock.now_s - began
    like = of_head(challenger)
    # what it may have saved up, a look at the clock before and after, and the one lesson that was begun
    assert spent_s <= share * clock.now_s + 0.1 + 3 * look_s
    assert like.examples == 15_000 if look_s == 0.000_05 else like.examples < 15_000 and spent_s > 0.25 * share * clock.now_s
    assert like.sampled == pytest.approx(like.examples / 15_000, abs=1e-4)


@pytest.mark.parametrize("estimator", [LINEAR, TREE, "river.naive_bayes.GaussianNB", "river.forest.ARFClassifier"])
def test_a_restart_at_any_time_changes_nothing(estimator: str) -> None:
    whole, given = make(estimator), lessons(120)
    whole.learn(given)
    for at in (0, 1, 60, 119):
        first, second = make(estimator), make(estimator)
        first.learn(given[:at])
        second.load(pickle.loads(pickle.dumps(first.dump())))
        second.learn(given[at:])
        assert second.metrics(7) == whole.metrics(7)


def test_pickling_takes_no_more_time_than_learning_and_a_crash_loses_little() -> None:
    clock = Clock(0.001)
    challenger = make(TREE, clock=clock, share=1.0)
    saved = []
    for seed in range(3):
        clock.now_s += 1.0
        challenger.learn(lessons(3, seed))
        saved.append(challenger.dump()["models"])
        challenger._pickle_s = 0.007_5
    assert saved[0] == saved[1] != saved[2]


def test_the_snapshot_of_another_estimator_or_of_other_parameters_begins_anew() -> None:
    old = make()
    old.learn(lessons(50))
    for new in (make(TREE), make(params={"l2": 0.1}), make(seed=1)):
        new.load(old.dump())
        assert new.metrics(7) == [] and new.off == ""
    same = make()
    same.load(old.dump())
    assert same.metrics(7) == old.metrics(7) != []


@pytest.mark.parametrize(
    ("estimator", "params", "words"),
    [
        ("river.tree.NoSuch", {}, "expected the name of a class of river"),
        ("river.linear_model.LinearRegression", {}, "expected a Classifier of river"),
        (LINEAR, {"colour": "red"}, "expected parameters of river.linear_model.LogisticRegression"),
    ],
)
def test_one_that_cannot_be_made_is_off_from_the_start_and_says_why(estimator: str, params: dict[str, Any], words: str) -> None:
    challenger = make(estimator, params=params)
    challenger.learn(lessons(5))
    assert words in challenger.off and len(challenger.off) <= 200
    assert [(one.head, one.examples, one.off) for one in challenger.metrics(7)] == [(head, 0, challenger.off) for head in HEADS]


def test_one_that_raises_or_predicts_nonsense_is_switched_off_and_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    # A one-class-per-label count of words cannot learn from numbers below 0.
    challenger = make("river.naive_bayes.MultinomialNB")
    challenger.learn(lessons(500))
    assert challenger.off
    examples = of_head(challenger).examples if of_head(challenger).window else 0
    other = make("river.naive_bayes.MultinomialNB")
    other.load(challenger.dump())
    other.learn(lessons(10))
    assert other.off == challenger.off and of_head(other).examples == examples

    nonsense = make()
    monkeypatch.setattr(linear_model.LogisticRegression, "predict_proba_one", lambda self, x: {True: float("nan")})
    nonsense.learn(lessons(1))
    assert nonsense.off == "expected a probability, got nan"


def test_one_that_outgrows_its_memory_is_switched_off_with_its_metrics_kept() -> None:
    challenger = make(TREE, max_bytes=4_000)
    challenger.learn(lessons(400))
    state = challenger.dump()
    assert "bytes, more than 4,000" in challenger.off and state["models"] == b""
    assert of_head(challenger).examples == 400 and of_head(challenger).off == challenger.off


@pytest.mark.parametrize("estimator", [TREE, "river.naive_bayes.MultinomialNB", "river.tree.NoSuch"])
def test_whatever_it_does_the_champion_learns_the_same(estimator: str) -> None:
    def ranking(challenger: Challenger | None) -> OnlineRanking:
        made = OnlineRanking(feature_set="small", names=("a", "b"), initial={}, warm_up=4, challenger=challenger)
        made.on_batch(life(200))
        return made

    beside = ranking(Challenger(estimator=estimator, heads=LOGISTIC_HEADS, features=("a", "b")))
    alone = ranking(None)
    assert beside.weights(0) == alone.weights(0)
    assert [one for one in beside.metrics() if one.model != "challenger"] == alone.metrics()
    assert {one.model for one in beside.metrics()} == {"online", "challenger"}


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected more than 0 and at most 1, got 0, at share"):
        make(share=0)
