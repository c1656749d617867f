from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.drift import DETECTORS, LossChange

PARAMS: dict[str, dict[str, Any]] = {"ADWIN": {"clock": 1}, "PageHinkley": {"threshold": 5.0}}


def losses(level: float, n: int, seed: int = 1) -> list[float]:
    """Squared errors of calibrated predictions of what happens so often."""
    happened = np.random.default_rng(seed).random(n) < level
    return [float(one) for one in (happened - 0.1) ** 2]


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_loss_that_rises_and_falls_is_found_both_times_with_its_means(detector: str) -> None:
    change = LossChange(detector=detector, recent=50)
    assert change.add(losses(0.1, 2_000)) == []
    rose = change.add(losses(0.6, 1_000, seed=2))
    assert rose and rose[0][0] < 300 and rose[0][1] < rose[0][2]
    fell = change.add(losses(0.1, 3_000, seed=3))
    assert fell and fell[0][1] > fell[0][2]


def test_a_steady_loss_seldom_alarms() -> None:
    alarms = sum(len(LossChange(detector="ADWIN").add(losses(0.1, 20_000, seed))) for seed in range(10))
    assert alarms <= 2


@pytest.mark.parametrize("detector", DETECTORS)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=30), restarts=st.booleans())
def test_what_it_says_depends_on_the_losses_only_not_on_batches_nor_restarts(detector: str, cuts: list[int], restarts: bool) -> None:
    stream = losses(0.1, 300) + losses(0.8, 300, seed=2)
    change = LossChange(detector=detector, params=PARAMS[detector], recent=20)
    expected = LossChange(detector=detector, params=PARAMS[detector], recent=20).add(stream)
    found, at, n = [], 0, 0
    while at < len(stream):
        batch = stream[at : at + cuts[n % len(cuts)]]
        found += [(at + place, before, after) for place, before, after in change.add(batch)]
        at, n = at + len(batch), n + 1
        if restarts:
            saved = pickle.loads(pickle.dumps(change.dump()))
            change = LossChange(detector=detector, params=PARAMS[detector], recent=20)
            change.load(saved)
            assert change.dump() == saved
    assert expected and found == expected


@pytest.mark.parametrize("detector", DETECTORS)
def test_memory_is_bounded(detector: str) -> None:
    change = LossChange(detector=detector)
    sizes = []
    for seed in range(20):
        change.add(losses(0.1, 5_000, seed))
        sizes.append(len(pickle.dumps(change.dump())))
    assert max(sizes[10:]) <= 1.1 * max(sizes[:10]) < 8_000


def test_the_state_of_another_detector_or_of_other_parameters_is_left() -> None:
    old, new = LossChange(detector="ADWIN"), LossChange(detector="ADWIN", params={"delta": 0.01})
    old.add(losses(0.5, 100))
    new.load(old.dump())
    assert new.dump() == LossChange(detector="ADWIN", params={"delta": 0.01}).dump()


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"detector": "KSWIN"}, "expected one of ADWIN, PageHinkley, got 'KSWIN', at detector"),
        ({"detector": "ADWIN", "params": {"lambda": 1}}, "expected parameters of river's ADWIN"),
        ({"detector": "ADWIN", "recent": 0}, "expected 1 or more, got 0, at recent"),
    ],
)
def test_what_cannot_be_made_is_refused(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LossChange(**given_)
