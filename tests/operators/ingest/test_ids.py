"""The set of recent ids: none is let through twice while it is remembered, and the oldest go."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ingest.ids import GENERATIONS, RecentIds, slice_of

DAY = timedelta(hours=24)


def _ids(n: int, *, seed: int = 1) -> list[int]:
    random = Random(seed)
    return [random.getrandbits(64) for _ in range(n)]


def test_three_quarters_of_the_capacity_are_remembered_at_least_and_no_more_than_all_of_it() -> None:
    ids = RecentIds(capacity=400, horizon=DAY)
    came = _ids(5_000)
    for n, one in enumerate(came):
        assert ids.add(one, 1_000)
        assert len(ids) <= 400
        assert all(known in ids for known in came[max(0, n - 299) : n + 1])
    assert came[0] not in ids


def test_ids_that_agree_in_many_bits_are_told_apart() -> None:
    ids = RecentIds(capacity=1_000, horizon=DAY)
    alike = [*range(1, 1 << 16, 1 << 9), *(one << 48 for one in range(1, 100)), 0, 2**64 - 1, 2**64 - 2**16 - 1]
    distinct = {(one >> 16 or 1, one & 511) for one in alike}
    assert sum(ids.add(one, 0) for one in alike) >= len({kept for kept, _ in distinct})
    assert not any(ids.add(one, 0) for one in alike)


def test_the_horizon_is_the_asked_one_until_ids_come_too_often_for_it() -> None:
    ids = RecentIds(capacity=400, horizon=DAY)
    assert ids.horizon_s == DAY.total_seconds()
    for n, one in enumerate(_ids(100)):
        ids.add(one, n)
    assert ids.horizon_s == DAY.total_seconds(), "a burst at the start says nothing of the rate"
    for n, one in enumerate(_ids(5_000, seed=2)):
        ids.add(one, 1_000 * n)
    assert ids.horizon_s == pytest.approx(300, rel=0.01), "one a second, and three quarters of 400 are safe"


def test_what_is_remembered_for_the_horizon_is_not_forgotten_for_its_age() -> None:
    ids = RecentIds(capacity=10_000, horizon=timedelta(seconds=30))
    came: list[tuple[int, int]] = []
    for n, one in enumerate(_ids(2_000)):
        at_ms = 137 * n
        ids.add(one, at_ms)
        came.append((at_ms, one))
        assert all(known in ids for known_ms, known in came[-230:] if known_ms > at_ms - 30_000)
    assert came[0][1] not in ids


@given(seed=st.integers(0, 100), slices_first=st.booleans())
def test_saved_slices_and_head_make_the_same_set_in_whatever_order_they_come(seed: int, slices_first: bool) -> None:
    ids = RecentIds(capacity=300, horizon=DAY)
    random = Random(seed)
    came = _ids(700, seed=seed)
    saved: dict[int, bytes] = {}
    for one in came:
        at_ms = random.randrange(60_000)
        ids.add(one, at_ms)
        saved[slice_of(at_ms)] = b""
    before = {number: ids.snapshot_slice(number) for number in saved}
    for one in came[:400]:
        ids.add(one, 90_000)
    saved = before | {slice_of(90_000): ids.snapshot_slice(slice_of(90_000))}
    restored = RecentIds(capacity=300, horizon=DAY)
    if not slices_first:
        restored.restore_head(ids.head())
    for number, data in random.sample(sorted(saved.items()), len(saved)):
        restored.restore_slice(number, data)
    if slices_first:
        restored.restore_head(ids.head())
    assert len(restored) == len(ids)
    assert [one in restored for one in came] == [one in ids for one in came]
    assert restored.slices() == ids.slices()
    assert all(restored.snapshot_slice(number) == ids.snapshot_slice(number) for number in saved)


def test_another_capacity_keeps_what_was_saved() -> None:
    ids = RecentIds(capacity=400, horizon=DAY)
    came = _ids(250)
    for one in came:
        ids.add(one, 0)
    for capacity in (40, 40_000):
        other = RecentIds(capacity=capacity, horizon=DAY)
        other.restore_head(ids.head())
        other.restore_slice(0, ids.snapshot_slice(0))
        assert not any(other.add(one, 1) for one in came)
        for one in _ids(500, seed=3):
            other.add(one, 2)
        assert len(other) <= max(capacity, GENERATIONS * 100)


def test_nothing_is_taken_before_an_id_comes_and_sixteen_bytes_each_when_full() -> None:
    ids = RecentIds(capacity=10_000_000, horizon=DAY)
    assert ids.n_bytes == 0
    ids.add(1, 0)
    assert ids.n_bytes < 40e6
    assert GENERATIONS * ids.n_bytes <= 16 * ids.capacity


@pytest.mark.parametrize(
    "wrong", [{"capacity": 3, "horizon": DAY}, {"capacity": 100, "horizon": timedelta(0)}, {"capacity": 100, "horizon": timedelta(days=6)}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        RecentIds(**wrong)  # type: ignore[arg-type]
