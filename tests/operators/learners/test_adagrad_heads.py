from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river import evaluate, linear_model, metrics, optim

from operators.learners.adagrad_heads import AdaGradHeads
from operators.learners.adagrad_logistic import AdaGradLogistic
from tests.operators.learners.river_checks import checks_of

HEADS = ("like", "share", "click")
FEATURES = ("a", "b", "c", "d")
CHECKS = checks_of(AdaGradLogistic())


def make(prior: Any, **settings: float) -> AdaGradHeads:
    table = np.array(prior, dtype=np.float64)
    return AdaGradHeads(heads=HEADS[: len(table)], features=FEATURES[: table.shape[1]], prior=table, **settings)


def rows(n: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=4), rng.choice([0.0, 1.0, np.nan], size=3)) for _ in range(n)]


def test_each_head_is_a_logistic_regression_of_its_own() -> None:
    prior = np.random.default_rng(2).normal(size=(3, 4))
    heads = make(prior, l2=0.01)
    alone = [
        AdaGradLogistic(start=1.0, eps=0.0, l2=0.01, intercept_lr=0.0, prior=dict(zip(FEATURES, row.tolist(), strict=True)))
        for row in prior
    ]
    for row, labels in rows(300):
        p = heads.learn_row(row, labels)
        for head, model in enumerate(alone):
            known = not np.isnan(labels[head])
            assert p[head] == pytest.approx(model.learn_row(row, bool(labels[head])) if known else model.predict_row(row), abs=1e-12)
    for name, model in zip(HEADS, alone, strict=True):
        np.testing.assert_allclose(heads.models[name].weights, model.weights, atol=1e-12)


def test_what_the_classifiers_learn_one_by_one_is_what_the_table_learns() -> None:
    table, single = make(np.zeros((3, 4)), l2=0.01), make(np.zeros((3, 4)), l2=0.01)
    for row, labels in rows(300):
        x = dict(zip(FEATURES, row.tolist(), strict=True))
        p = table.learn_row(row, labels)
        for place, name in enumerate(HEADS):
            assert single.models[name].predict_proba_one(x)[True] == pytest.approx(p[place], abs=1e-12)
            if not np.isnan(labels[place]):
                single.models[name].learn_one(x, bool(labels[place]))
    np.testing.assert_allclose(single.predict_row(np.ones(4)), table.predict_row(np.ones(4)), atol=1e-12)


def test_a_head_agrees_with_rivers_own_logistic_regression() -> None:
    heads = make(np.zeros((1, 4)), start=1e-8)
    oracle: Any = linear_model.LogisticRegression(optimizer=optim.AdaGrad(lr=0.1, eps=1e-8), intercept_lr=0.0)
    for row, labels in rows(500):
        if np.isnan(labels[0]):
            continue
        x = dict(zip(FEATURES, row.tolist(), strict=True))
        assert heads.predict_row(row)[0] == pytest.approx(oracle.predict_proba_one(x)[True], abs=1e-9)
        heads.learn_row(row, labels[:1])
        oracle.learn_one(x, bool(labels[0]))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_a_head_passes_river_checks_of_an_estimator(check: Any) -> None:
    check(make(np.zeros((2, 3))).models["share"].clone())


def test_rivers_progressive_validation_works_on_a_head_and_moves_the_table() -> None:
    heads = make(np.zeros((2, 4)))
    stream: list[tuple[dict[Hashable, Any], Any]] = [
        (dict(zip(FEATURES, row.tolist(), strict=True)), bool(row[0] > 0)) for row, _ in rows(500)
    ]
    roc_auc: Any = metrics.ROCAUC
    assert evaluate.progressive_val_score(stream, heads.models["share"], roc_auc()).get() > 0.9
    assert heads.predict_row(np.array([2.0, 0, 0, 0])).tolist()[0] == 0.5 < heads.predict_row(np.array([2.0, 0, 0, 0])).tolist()[1]


def test_a_head_takes_no_feature_that_the_table_does_not_have() -> None:
    with pytest.raises(ValueError, match="expected the 2 features of the table, got 1 more"):
        make(np.zeros((1, 2))).models["like"].learn_one({"new": 1.0}, True)


def test_great_scores_do_not_overflow() -> None:
    heads = make([[1e6], [-1e6]])
    assert heads.learn_row(np.array([1.0]), np.array([0.0, 1.0])).round(9).tolist() == [1.0, 0.0]
    assert np.isfinite([model.weights for model in heads.models.values()]).all()


def test_what_was_learned_can_be_taken_elsewhere() -> None:
    heads, other = make(np.zeros((2, 2))), make(np.ones((2, 2)))
    heads.learn_row(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    other.load(heads.dump())
    for one in (heads, other):
        one.learn_row(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
    assert heads.dump() == other.dump()
    assert other.models["like"].weights.tobytes() == heads.models["like"].weights.tobytes()


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected lr > 0"):
        make(np.zeros((1, 1)), lr=0.0)
