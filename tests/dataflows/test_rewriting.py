"""Which rows are written again, and when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from dataflows.rewriting import RecentRows, RewritingStore
from dataflows.store import StoreError
from operators.profiles.update import UserUpdate


def update(user_id: str, version: int, bits: bytes = b"", size: int = 10) -> UserUpdate:
    return UserUpdate(user_id, version, b"s" * size, {1: bits} if bits else {}, {"version": str(version)})


def test_of_each_person_the_newest_row_is_kept_with_the_bits_of_all_that_are_young_enough() -> None:
    #  at      0     2     4     6     8
    #  u       v1a   v2    v3b
    #  w       v1c         :     v2
    #  same at             :           7.5, keep 5 s: what was written at 2 is safe
    recent = RecentRows(keep=timedelta(seconds=5))
    recent.wrote([update("u", 1, b"aa"), update("w", 1, b"cc")], 0.0)
    recent.wrote([update("u", 2)], 2.0)
    recent.wrote([update("u", 3, b"bb")], 4.0)
    assert recent.updates() == [update("w", 1, b"cc"), update("u", 3, b"aabb")]
    recent.wrote([update("w", 2)], 6.0)
    recent.same_at(7.5)
    assert recent.updates() == [update("u", 3, b"bb"), update("w", 2)]
    recent.same_at(60.0)
    assert recent.updates() == []


def test_a_store_that_is_away_for_long_makes_nothing_old() -> None:
    recent = RecentRows(keep=timedelta(seconds=5))
    recent.wrote([update("u", 1)], 0.0)
    recent.wrote([update("w", 1)], 1_000.0)
    assert [one.user_id for one in recent.updates()] == ["u", "w"]


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    recent = RecentRows(most_bytes=10_000)
    for at in range(1_000):
        recent.wrote([update(f"u{at % 300}", at, bytes(14), size=200)], float(at))
    kept = recent.updates()
    assert 30 < len(kept) < 50
    assert kept[-1].version == 999
    assert sorted(one.version for one in kept) == list(range(1_000 - len(kept), 1_000))


def test_people_who_never_rest_do_not_gather_bits() -> None:
    recent = RecentRows(keep=timedelta(seconds=5))
    for at in range(10_000):
        recent.wrote([update("u", at, bytes(14))], at / 10)
        recent.same_at(at / 10)
    (row,) = recent.updates()
    assert len(row.seen[1]) <= 14 * 51


class Redis:
    """A store whose process can be killed: it loses the rows that came after the last save."""

    def __init__(self) -> None:
        self.process = 1
        self.away = False
        self.rows: dict[str, int] = {}
        self.saved: dict[str, int] = {}

    def run_id(self) -> str:
        self._answer()
        return str(self.process)

    def write(self, updates: Sequence[UserUpdate]) -> None:
        self._answer()
        for one in updates:
            self.rows[one.user_id] = max(one.version, self.rows.get(one.user_id, 0))

    def save(self) -> None:
        self.saved = dict(self.rows)

    def kill(self) -> None:
        self.process += 1
        self.rows = dict(self.saved)

    def close(self) -> None:
        self.away = True

    def _answer(self) -> None:
        if self.away:
            raise StoreError(expected="a store", got="none", where="this test")


def rewriting(redis: Redis) -> RewritingStore:
    """A store whose looks are made by the test."""
    return RewritingStore(redis, look_every=timedelta(hours=1))  # type: ignore[arg-type]


def test_rows_that_a_killed_store_lost_come_back_without_a_new_one_also_when_it_is_killed_twice() -> None:
    redis = Redis()
    store = rewriting(redis)
    store.write([update("u", 1)])
    redis.save()
    store.write([update("u", 2), update("w", 1)])
    for _ in range(2):
        redis.kill()
        store.write([update("x", 5)])
        assert redis.rows == {"u": 1, "x": 5}
        store.look()
        assert redis.rows == {"u": 2, "w": 1, "x": 5}
    redis.rows.clear()
    store.look()
    assert redis.rows == {}  # the same process: nothing is written for nothing
    store.close()
    assert redis.away


def test_a_store_that_is_away_is_asked_again() -> None:
    redis = Redis()
    store = rewriting(redis)
    store.write([update("u", 1)])
    redis.kill()
    redis.away = True
    with pytest.raises(StoreError):
        store.look()
    redis.away = False
    store.look()
    assert redis.rows == {"u": 1}


def test_kills_at_any_moment_lose_no_row_that_was_written_within_the_time_kept() -> None:
    dice = random.Random(5)
    redis, written = Redis(), dict[str, int]()
    store = rewriting(redis)
    for version in range(1, 2_000):
        user = f"u{dice.randrange(20)}"
        store.write([update(user, version)])
        written[user] = version
        if dice.random() < 0.3:
            redis.save()
        if dice.random() < 0.1:
            redis.kill()
            store.look()
            assert redis.rows == written
        if dice.random() < 0.1:
            store.look()
