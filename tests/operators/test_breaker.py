from __future__ import annotations

from datetime import timedelta

import pytest

from operators.breaker import Breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(max_failures=3)
    for raised in (True, True, False, True, True):
        breaker.ran(took_s=0.0, raised=raised, now_s=1.0)
        assert not breaker.is_open(now_s=1.0)
    breaker.ran(took_s=0.0, raised=True, now_s=1.0)
    assert breaker.is_open(now_s=1.0)


def test_after_each_rest_one_try_says_whether_it_closes() -> None:
    breaker = Breaker(max_failures=2, rest=timedelta(seconds=10))
    for now_s in (0.0, 1.0):
        breaker.ran(took_s=0.0, raised=True, now_s=now_s)
    assert [breaker.is_open(now_s=now_s) for now_s in (1.0, 10.9, 11.0)] == [True, True, False]
    breaker.ran(took_s=0.0, raised=True, now_s=12.0)
    assert [breaker.is_open(now_s=now_s) for now_s in (12.0, 21.9, 22.0)] == [True, True, False]
    breaker.ran(took_s=0.0, raised=False, now_s=22.0)
    breaker.ran(took_s=0.0, raised=True, now_s=23.0)
    assert not breaker.is_open(now_s=23.0)


def test_a_run_over_the_budget_counts_as_a_failure() -> None:
    breaker = Breaker(max_failures=2, budget=timedelta(milliseconds=50))
    for took_s in (0.051, 0.05, 0.051, 0.06):
        breaker.ran(took_s=took_s, raised=False, now_s=0.0)
    assert breaker.is_open(now_s=0.0)


def test_a_breaker_that_opens_before_any_failure_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 or more, got 0, at max_failures"):
        Breaker(max_failures=0)
