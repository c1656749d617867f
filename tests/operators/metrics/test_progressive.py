from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics

from operators.metrics.binary import auc, calibration, log_loss
from operators.metrics.window import ProgressiveWindow

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    up = [p for p, y in pairs if y]
    down = [p for p, y in pairs if not y]
    got = auc(np.array([p for p, _ in pairs]), np.array([y for _, y in pairs]))
    if not up or not down:
        assert got is None
    else:
        wins = sum((a > b) + 0.5 * (a == b) for a in up for b in down)
        assert got == pytest.approx(wins / (len(up) * len(down)))


def test_log_loss_is_rivers() -> None:
    rng = np.random.default_rng(1)
    p, y = rng.random(500), rng.random(500) < 0.3
    make: Any = metrics.LogLoss
    oracle = make()
    for one, label in zip(p.tolist(), y.tolist(), strict=True):
        oracle.update(label, one)
    assert log_loss(p, y) == pytest.approx(oracle.get())


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    assert 30 < log_loss(np.array([0.0]), np.array([True])) < math.inf


def test_without_data_there_is_no_figure() -> None:
    nothing, nobody = np.array([]), np.array([], dtype=bool)
    assert math.isnan(log_loss(nothing, nobody)) and math.isnan(calibration(nothing, nobody)) and auc(nothing, nobody) is None


@given(PAIRS, st.integers(1, 20))
def test_a_window_holds_the_last_predictions_also_over_a_restart(pairs: list[tuple[float, bool]], size: int) -> None:
    window, other = ProgressiveWindow(size=size), ProgressiveWindow(size=size)
    for place, (p, y) in enumerate(pairs):
        if place == len(pairs) // 2:
            other.load(window.dump())
        window.add(p, y)
    for p, y in pairs[len(pairs) // 2 :]:
        other.add(p, y)
    last = pairs[-size:]
    assert (len(window), window.seen, window.positives) == (len(last), len(pairs), sum(y for _, y in last))
    predicted, happened = np.array([p for p, _ in last]), np.array([y for _, y in last])
    for one in (window, other):
        assert one.auc == pytest.approx(auc(predicted, happened))
        assert one.log_loss == pytest.approx(log_loss(predicted, happened))
        assert one.calibration == pytest.approx(calibration(predicted, happened), nan_ok=True)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at size"):
        ProgressiveWindow(size=0)
