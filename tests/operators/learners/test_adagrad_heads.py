from __future__ import annotations

import numpy as np
import pytest

from operators.learners.adagrad_heads import AdaGradHeads
from operators.learners.adagrad_logistic import AdaGradLogistic


def test_each_head_is_a_logistic_regression_of_its_own() -> None:
    rng = np.random.default_rng(1)
    prior = rng.normal(size=(3, 4))
    heads = AdaGradHeads(prior=prior, l2=0.01)
    names = ["a", "b", "c", "d"]
    alone = [
        AdaGradLogistic(start=1.0, eps=1e-300, l2=0.01, intercept_lr=0.0, prior=dict(zip(names, row.tolist(), strict=True)))
        for row in prior
    ]
    for _ in range(300):
        row = rng.normal(size=4)
        labels = rng.choice([0.0, 1.0, np.nan], size=3)
        p = heads.learn_row(row, labels)
        for head, model in enumerate(alone):
            known = not np.isnan(labels[head])
            assert p[head] == pytest.approx(model.learn_row(row, bool(labels[head])) if known else model.predict_row(row), abs=1e-12)
    np.testing.assert_allclose(heads.weights, [model.weights for model in alone], atol=1e-12)


def test_great_scores_do_not_overflow() -> None:
    heads = AdaGradHeads(prior=np.array([[1e6], [-1e6]]))
    assert heads.learn_row(np.array([1.0]), np.array([0.0, 1.0])).round(9).tolist() == [1.0, 0.0]
    assert np.isfinite(heads.weights).all()


def test_what_was_learned_can_be_taken_elsewhere() -> None:
    heads, other = AdaGradHeads(prior=np.zeros((2, 2))), AdaGradHeads(prior=np.ones((2, 2)))
    heads.learn_row(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    other.load(heads.dump())
    for one in (heads, other):
        one.learn_row(np.array([2.0, 1.0]), np.array([1.0, 1.0]))
    assert heads.weights.tobytes() == other.weights.tobytes()


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected lr, start > 0"):
        AdaGradHeads(prior=np.zeros((1, 1)), lr=0.0)
