from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.metrics.window import ProgressiveWindow

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=60)


def filled(pairs: list[tuple[float, bool]], size: int = 1_000) -> ProgressiveWindow:
    window = ProgressiveWindow(size=size)
    for p, y in pairs:
        window.add(p, y)
    return window


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, bool]]) -> None:
    up = [p for p, y in pairs if y]
    down = [p for p, y in pairs if not y]
    got = filled(pairs).auc
    if not up or not down:
        assert got is None
    else:
        wins = sum((a > b) + 0.5 * (a == b) for a in up for b in down)
        assert got == pytest.approx(wins / (len(up) * len(down)))


@given(PAIRS)
def test_log_loss_is_the_mean_of_minus_the_logarithm_of_what_was_given_to_the_truth(pairs: list[tuple[float, bool]]) -> None:
    clipped = [(min(max(p, 1e-15), 1 - 1e-15), y) for p, y in pairs]
    given_to = [p if y else 1 - p for p, y in clipped]
    assert filled(pairs).log_loss == pytest.approx(-sum(map(math.log, given_to)) / len(pairs), abs=1e-12)


def test_calibration_is_what_was_promised_over_what_happened() -> None:
    assert filled([(0.5, True), (0.5, False), (1.0, False)]).calibration == 2.0


def test_a_certain_mistake_costs_much_but_not_everything() -> None:
    assert 30 < filled([(0.0, True)]).log_loss < math.inf


def test_without_data_there_is_no_figure() -> None:
    empty = ProgressiveWindow(size=5)
    assert math.isnan(empty.log_loss) and math.isnan(empty.calibration) and empty.auc is None


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
    expected = filled(last)
    for one in (window, other):
        assert one.auc == pytest.approx(expected.auc)
        assert one.log_loss == pytest.approx(expected.log_loss)
        assert one.calibration == pytest.approx(expected.calibration, nan_ok=True)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at size"):
        ProgressiveWindow(size=0)
