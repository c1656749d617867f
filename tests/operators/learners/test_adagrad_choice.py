from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from river import linear_model, metrics, optim

from operators.learners.adagrad_choice import AdaGradChoice
from operators.learners.adagrad_logistic import AdaGradLogistic
from tests.operators.learners.river_checks import checks_of


def prior(*weights: float) -> dict[str, float]:
    return dict(zip("abcd", weights, strict=False))


def test_a_choice_of_two_is_a_logistic_regression_on_the_difference() -> None:
    rng = np.random.default_rng(1)
    choice = AdaGradChoice(prior=prior(0, 0, 0), lr=0.1, start=0.01)
    pair = AdaGradLogistic(lr=0.1, eps=0.0, start=0.01, intercept_lr=0.0, prior={"a": 0.0, "b": 0.0, "c": 0.0})
    for _ in range(200):
        rows = rng.normal(size=(2, 3))
        p = choice.learn_choice(rows, 0)
        assert p[0] == pytest.approx(pair.learn_row(rows[0] - rows[1], True), abs=1e-12)
    np.testing.assert_allclose(choice.weights, pair.weights, atol=1e-12)


def test_its_step_goes_down_the_gradient_of_the_listwise_loss() -> None:
    rows = np.random.default_rng(2).normal(size=(21, 4))
    model = AdaGradChoice(prior=prior(0.3, -0.2, 0.1, 0.0))

    def loss(weights: np.ndarray) -> float:
        scores = rows @ weights
        return float(np.log(np.exp(scores - scores[7]).sum()))

    numeric = [(loss(model.weights + step) - loss(model.weights - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
    before = model.weights.copy()
    model.learn_choice(rows, 7)
    gradient = (before - model.weights) * np.sqrt(0.01 + np.square(numeric)) / 0.1
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4)


def test_it_finds_the_taste_that_made_the_choices() -> None:
    rng = np.random.default_rng(3)
    taste = np.array([2.0, -1.0, 0.0])
    model = AdaGradChoice(prior=prior(0, 0, 0))
    for _ in range(3_000):
        rows = rng.normal(size=(10, 3))
        model.learn_choice(rows, int(np.argmax(rows @ taste + rng.gumbel(size=10))))
    np.testing.assert_allclose(model.weights, taste, atol=0.25)


def test_a_feature_that_is_the_same_for_all_items_changes_nothing() -> None:
    model = AdaGradChoice(prior=prior(1.0, 0.5))
    model.learn_choice(np.array([[1.0, 3.0], [2.0, 3.0]]), 0)
    assert model.weights[1] == pytest.approx(0.5) and model.weights[0] < 1.0


def test_great_scores_do_not_overflow() -> None:
    model = AdaGradChoice(prior=prior(1e4))
    assert model.predict_choice(np.array([[1.0], [0.0]])).tolist() == [1.0, 0.0]
    model.learn_choice(np.array([[1.0], [0.0]]), 1)
    assert np.isfinite(model.weights).all()


def test_what_was_learned_can_be_taken_elsewhere() -> None:
    rows = np.random.default_rng(4).normal(size=(5, 2))
    model, other = AdaGradChoice(prior=prior(0, 0), l2=0.1), AdaGradChoice(l2=0.1)
    model.learn_choice(rows, 1)
    other.load(model.dump())
    for one in (model, other):
        one.learn_choice(rows, 2)
    assert model.weights.tobytes() == other.weights.tobytes()


@pytest.mark.filterwarnings("default")
def test_it_passes_river_checks_of_an_estimator() -> None:
    checks = checks_of(AdaGradChoice())
    assert len(checks) > 10
    for check in checks:
        check(AdaGradChoice())


def test_a_choice_of_two_agrees_with_rivers_own_logistic_regression() -> None:
    rng = np.random.default_rng(5)
    ours = AdaGradChoice(lr=0.1, start=1e-8)
    oracle: Any = linear_model.LogisticRegression(optimizer=optim.AdaGrad(lr=0.1, eps=1e-8), intercept_lr=0.0)
    for _ in range(300):
        first, second = ({name: float(rng.normal()) for name in "abc"} for _ in range(2))
        unlike = {name: first[name] - second[name] for name in "abc"}
        choice: dict[Hashable, dict[str, float]] = {"v1": first, "v2": second}
        assert ours.predict_proba_one(choice)["v1"] == pytest.approx(oracle.predict_proba_one(unlike)[True], abs=1e-9)
        taken = rng.random() < 0.3
        ours.learn_one(choice, "v1" if taken else "v2")
        oracle.learn_one(unlike, taken)


def test_rivers_metrics_validate_it_choice_by_choice() -> None:
    rng = np.random.default_rng(6)
    make: Any = metrics.Accuracy
    model, accuracy = AdaGradChoice(), make()
    for _ in range(1_000):
        choice: dict[Hashable, dict[str, float]] = {f"v{n}": {"sun": float(rng.normal()), "moon": float(rng.normal())} for n in range(4)}
        taken = max(choice, key=lambda item: 5 * choice[item]["sun"] + rng.gumbel())
        accuracy.update(taken, model.predict_one(choice))
        model.learn_one(choice, taken)
    assert accuracy.get() > 0.6


def test_nothing_is_chosen_out_of_nothing_and_a_new_feature_is_learned_from_where_it_comes() -> None:
    model = AdaGradChoice(prior=prior(1.0))
    assert model.predict_one({}) is None
    model.learn_one({"v1": {"a": 0.0, "new": 1.0}, "v2": {"a": 0.0}}, "v1")
    assert model.weights[0] == 1.0 and model.weights[1] > 0
