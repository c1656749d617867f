from __future__ import annotations

from datetime import timedelta

import pytest

from operators.index.rebuild import Rebuild

# pause 5 s; quiet 2 s; age 60 s; share 2 %


def built(*, took: timedelta = timedelta(milliseconds=10), now_ms: int = 0) -> Rebuild:
    rebuild = Rebuild()
    rebuild.changed(1, now_ms=now_ms)
    rebuild.started()
    rebuild.finished(took=took, now_ms=now_ms)
    return rebuild


def test_without_a_change_nothing_is_due() -> None:
    assert not Rebuild().due(size=1_000, now_ms=10**9)
    assert not built().due(size=1_000, now_ms=10**9)


def test_the_first_segment_waits_for_the_end_of_the_load() -> None:
    # changes  0 ████████ 3 s      due at 5 s
    rebuild = Rebuild()
    for now_ms in range(0, 3_000, 100):
        rebuild.changed(300, now_ms=now_ms)
        assert not rebuild.due(size=7_583, now_ms=now_ms + 100)
    assert rebuild.due(size=7_583, now_ms=4_900)


def test_changes_that_never_pause_are_taken_in_by_their_age() -> None:
    rebuild = built()
    for now_ms in range(10_000, 69_000, 1_000):
        rebuild.changed(1, now_ms=now_ms)
        assert not rebuild.due(size=100_000, now_ms=now_ms)
    assert rebuild.due(size=100_000, now_ms=70_000)


def test_many_changes_are_taken_in_at_once() -> None:
    rebuild = built()
    rebuild.changed(1_999, now_ms=10_000)
    assert not rebuild.due(size=100_000, now_ms=10_001)
    rebuild.changed(1, now_ms=10_001)
    assert rebuild.due(size=100_000, now_ms=10_001)


def test_a_long_build_is_followed_by_a_long_pause() -> None:
    # build of 2 s ends at 0 ── pause of 40 s ── due
    rebuild = built(took=timedelta(seconds=2))
    rebuild.changed(50_000, now_ms=1)
    assert not rebuild.due(size=100_000, now_ms=39_999)
    assert rebuild.due(size=100_000, now_ms=40_000)


def test_changes_during_a_build_count_for_the_next() -> None:
    rebuild = Rebuild(pause=timedelta(0))
    rebuild.changed(1, now_ms=0)
    rebuild.started()
    rebuild.changed(1, now_ms=1)
    rebuild.finished(took=timedelta(0), now_ms=2)
    assert rebuild.due(size=2, now_ms=2_001)


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Rebuild(share=2)
