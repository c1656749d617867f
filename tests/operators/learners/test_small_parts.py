from __future__ import annotations

import numpy as np
import pytest

from operators.learners.seen_ids import SeenIds
from operators.learners.standard import Standard


def test_the_scale_is_that_of_the_warm_up_and_stays() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3)) * [1.0, 20.0, 0.0] + [0.0, 7.0, 4.0]
    standard = Standard(n_features=3, warm_up=50)
    assert [standard.see(row) for row in rows] == [False] * 49 + [True]
    np.testing.assert_allclose(standard.mean, rows.mean(axis=0))
    np.testing.assert_allclose(standard.deviation, [*rows.std(axis=0)[:2], 1.0])
    np.testing.assert_allclose(standard.of(rows).std(axis=0), [1.0, 1.0, 0.0], atol=1e-12)


def test_a_warm_up_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at warm_up"):
        Standard(n_features=1, warm_up=1)


def test_ids_are_remembered_over_a_restart() -> None:
    seen, other = SeenIds(max_ids=100), SeenIds(max_ids=100)
    assert all(seen.admits(f"{n}") for n in range(150))
    other.load(seen.dump())
    assert [other.admits("149"), other.admits("50"), other.admits("49")] == [False, False, True]
    with pytest.raises(ValueError, match="at max_ids"):
        SeenIds(max_ids=0)
