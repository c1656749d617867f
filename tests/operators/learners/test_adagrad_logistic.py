from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import datasets, evaluate, linear_model, metrics, optim, preprocessing

from operators.learners.adagrad_logistic import AdaGradLogistic, sigmoid
from tests.operators.learners.river_checks import checks_of

CHECKS = checks_of(AdaGradLogistic())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_it_passes_river_checks_of_an_estimator(check: Any) -> None:
    check(AdaGradLogistic())


def data(n: int, features: int = 5) -> list[tuple[dict[str, float], bool]]:
    rng = random.Random(3)
    rows = [{f"f{i}": rng.gauss(0, 1 + i) for i in range(features)} for _ in range(n)]
    return [(row, rng.random() < sigmoid(row["f0"] - 0.5 * row["f1"])) for row in rows]


@pytest.mark.parametrize("lr", [0.01, 0.1, 1.0])
def test_it_agrees_with_rivers_own_logistic_regression(lr: float) -> None:
    ours = AdaGradLogistic(lr=lr, eps=1e-8, intercept_lr=0.01)
    oracle: Any = linear_model.LogisticRegression(optimizer=optim.AdaGrad(lr=lr, eps=1e-8), intercept_lr=0.01)
    for x, y in data(2_000):
        assert ours.predict_proba_one(x)[True] == pytest.approx(oracle.predict_proba_one(x)[True], abs=1e-9)
        ours.learn_one(x, y)
        oracle.learn_one(x, y)
    assert ours.weights.tolist() == pytest.approx(list(oracle.weights.values()), abs=1e-9)
    assert ours.intercept == pytest.approx(oracle.intercept, abs=1e-9)


roc_auc: Any = metrics.ROCAUC


def test_rivers_pipelines_and_progressive_validation_work_on_it() -> None:
    ours = preprocessing.StandardScaler() | AdaGradLogistic()
    oracle = preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer=optim.AdaGrad())
    scores = [evaluate.progressive_val_score(datasets.Phishing(), model, roc_auc()).get() for model in (ours, oracle)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert scores[0] > 0.9


@given(st.integers(1, 40))
def test_many_at_once_are_learned_as_one_by_one_to_the_bit(n: int) -> None:
    pairs = data(n)
    names = list(pairs[0][0])
    prior = dict.fromkeys(names, 0.5)
    single, many = AdaGradLogistic(l2=0.01, prior=prior), AdaGradLogistic(l2=0.01, prior=prior)
    rows = np.array([[x[name] for name in names] for x, _ in pairs], dtype=np.float32)
    for row, (_, y) in zip(rows, pairs, strict=True):
        single.learn_one(dict(zip(names, row.tolist(), strict=True)), y)
    many.learn_many(rows, np.array([y for _, y in pairs]))
    assert single.weights.tobytes() == many.weights.tobytes()
    assert single.predict_many(rows).tobytes() == many.predict_many(rows).tobytes()


def test_without_examples_the_weights_are_the_prior_and_a_pull_keeps_them_near() -> None:
    prior = {"a": 2.0, "b": -1.0}
    assert AdaGradLogistic(prior=prior).weights.tolist() == [2.0, -1.0]
    free, pulled = AdaGradLogistic(prior=prior), AdaGradLogistic(prior=prior, l2=1.0)
    for _ in range(500):
        for model in (free, pulled):
            model.learn_one({"a": 1.0, "b": 1.0}, False)
    assert abs(pulled.weights - np.array([2.0, -1.0])).max() < abs(free.weights - np.array([2.0, -1.0])).max()


def test_what_was_learned_can_be_taken_elsewhere() -> None:
    model, other = AdaGradLogistic(), AdaGradLogistic()
    for x, y in data(50):
        model.learn_one(x, y)
    other.load(model.dump())
    for x, y in data(20):
        model.learn_one(x, y)
        other.learn_one(x, y)
    assert model.weights.tobytes() == other.weights.tobytes() and model.intercept == other.intercept


def test_extreme_scores_give_probabilities() -> None:
    assert sigmoid(-1e4) == 0.0 and sigmoid(1e4) == 1.0 and sigmoid(0.0) == 0.5


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected lr > 0"):
        AdaGradLogistic(lr=0.0)
