from __future__ import annotations

from array import array
from collections import Counter
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.cooccurrence.cowatch import CoWatch
from operators.cooccurrence.pairs import PairCounts
from operators.cooccurrence.watched import How, Watched, WatchedBefore, Watching, watching
from operators.cooccurrence.weights import four_digits
from schemas.telemetry import Event, Origin
from schemas.telemetry import InteractionType as Kind

people = st.sampled_from(["ada", "bob", "cyd"])
videos = st.sampled_from("abcdefgh")
histories = st.builds(WatchedBefore, people, st.lists(videos, max_size=8))
stream = st.lists(st.tuples(people, videos), max_size=60)


def watched(n: int, user_id: str, video_id: str) -> Watched:
    return Watched(user_id, video_id, 1_000 + n, Origin(0, n, 0))


def told(cowatch: CoWatch) -> dict[str, dict[str, float]]:
    return {one.video_id: dict(zip(one.video_ids, one.weights, strict=True)) for one in cowatch.on_time(0)}


def by_hand(before: list[WatchedBefore], then: list[tuple[str, str]], recent: int) -> tuple[Counter[frozenset[str]], Counter[str]]:
    """Pairs and watches counted one by one; the histories come first."""
    pairs: Counter[frozenset[str]] = Counter()
    watches: Counter[str] = Counter()
    lists: dict[str, list[str]] = {}
    for user_id, video_id in [(one.user_id, video_id) for one in before for video_id in one.video_ids] + then:
        line = lists.setdefault(user_id, [])
        if video_id in line:
            line.remove(video_id)
            line.append(video_id)
            continue
        watches[video_id] += 1
        pairs.update(frozenset((video_id, other)) for other in line[-recent:])
        line.append(video_id)
    return pairs, watches


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(people, st.lists(videos, max_size=8, unique=True)), max_size=3, unique_by=lambda pair: pair[0]),
    stream,
    st.integers(1, 5),
)
def test_weights_are_those_of_a_count_by_hand(before: list[tuple[str, list[str]]], then: list[tuple[str, str]], recent: int) -> None:
    known = [WatchedBefore(user_id, ids) for user_id, ids in before]
    cowatch = CoWatch(recent=recent, remembered=100, change=0)
    cowatch.on_batch(known)
    cowatch.on_batch([watched(n, *pair) for n, pair in enumerate(then)])
    pairs, watches = by_hand(known, then, recent)
    expected: dict[str, dict[str, float]] = {}
    for pair, count in pairs.items():
        for one, other in (tuple(pair), tuple(pair)[::-1]):
            expected.setdefault(one, {})[other] = count / (watches[one] * (watches[other] + 5)) ** 0.8
    got = told(cowatch)
    assert {one: pytest.approx(weights, rel=1e-3) for one, weights in expected.items()} == got


def test_a_history_that_comes_late_goes_before_what_is_known() -> None:
    late, early = CoWatch(recent=2, change=0), CoWatch(recent=2, change=0)
    history, events = WatchedBefore("ada", ["a", "b", "c"]), [watched(0, "ada", "d"), watched(1, "ada", "e"), watched(2, "ada", "f")]
    early.on_batch([history, *events])
    late.on_batch([*events, history])
    assert told(late) == told(early)
    both = [watched(3, "ada", "x")]
    early.on_batch(both)
    late.on_batch(both)
    assert told(late) == told(early)


def test_a_history_that_is_loaded_twice_counts_once() -> None:
    once, twice = CoWatch(change=0), CoWatch(change=0)
    history = WatchedBefore("ada", ["a", "b", "c", "a"])
    once.on_batch([history])
    twice.on_batch([history, history])
    assert told(once) == told(twice)


def test_what_comes_again_after_a_crash_is_counted_once() -> None:
    once, twice = CoWatch(change=0), CoWatch(change=0)
    events: list[Watching] = [watched(n, f"u{n % 3}", f"v{n}") for n in range(20)]
    once.on_batch(events)
    twice.on_batch([*events[:10], *events])
    assert told(once) == told(twice)


def test_neighbours_are_told_when_counts_have_grown_enough_and_the_most_grown_go_first() -> None:
    cowatch = CoWatch(change=0.5, most_lists=2)
    cowatch.on_batch([WatchedBefore(f"u{n}", ["a", "b"]) for n in range(10)] + [WatchedBefore("w", ["c", "d", "e"])])
    assert set(told(cowatch)) == {"a", "b"}
    assert cowatch.pending
    assert set(told(cowatch)) == {"c", "d"}
    assert set(told(cowatch)) == {"e"}
    assert not cowatch.pending
    cowatch.on_batch([WatchedBefore(f"x{n}", ["a", "b"]) for n in range(4)])
    assert told(cowatch) == {}
    cowatch.on_batch([WatchedBefore("x4", ["a", "b"])])
    assert set(told(cowatch)) == {"a", "b"}


def test_only_the_heaviest_neighbours_are_told_best_first() -> None:
    cowatch = CoWatch(listed=2)
    cowatch.on_batch([WatchedBefore("u", ["a", "b", "c", "d"]), WatchedBefore("w", ["c", "a"]), WatchedBefore("x", ["z", "y", "d"])])
    lists = {one.video_id: one.video_ids for one in cowatch.on_time(0)}
    assert lists["a"] == ["c", "b"]


def test_videos_watched_least_make_room_for_new_ones_and_that_is_told() -> None:
    cowatch = CoWatch(max_videos=8, tidy_every=1, change=0)
    cowatch.on_batch([WatchedBefore(f"u{n}", ["a", "b", "c"]) for n in range(3)] + [WatchedBefore("w", ["m", "n", "o"])])
    assert set(told(cowatch)) == {"a", "b", "c", "m", "n", "o"}
    cowatch.on_batch([WatchedBefore("x", ["p", "q", "r"])])
    lists = {one.video_id: one.video_ids for one in cowatch.on_time(0)}
    assert lists == {"m": [], "n": [], "o": [], "p": ["q", "r"], "q": ["p", "r"], "r": ["p", "q"]}


def test_only_the_heaviest_pairs_of_a_video_are_kept() -> None:
    cowatch = CoWatch(max_pairs=4, tidy_every=1, change=0)
    cowatch.on_batch(
        [WatchedBefore("u", ["a", "b"]), WatchedBefore("v", ["a", *(f"v{n}" for n in range(9))]), WatchedBefore("w", ["a", "b"])]
    )
    assert told(cowatch)["a"].keys() == {"b", "v0", "v1"}


def test_people_silent_for_longest_are_forgotten() -> None:
    cowatch = CoWatch(max_users=2, change=0)
    cowatch.on_batch(
        [watched(0, "ada", "a"), watched(1, "bob", "b"), watched(2, "ada", "c"), watched(3, "cyd", "d"), watched(4, "bob", "e")]
    )
    assert {one: set(others) for one, others in told(cowatch).items()} == {"a": {"c"}, "c": {"a"}}


def happened(kind: Kind, n: int = 3, video_id: str = "v", **fields: Any) -> Event:
    origin = Origin(1, 2, n)
    return Event(
        event_id="e", user_id="u", video_id=video_id, interaction_type=kind, timestamp_ms=5, received_ms=6, origin=origin, **fields
    )


def test_an_impression_is_a_watch_where_the_feed_plays_by_itself_and_a_showing_elsewhere() -> None:
    assert watching(happened(Kind.IMPRESSION, source="upstream")) == Watched("u", "v", 5, Origin(1, 2, 3))
    assert watching(happened(Kind.IMPRESSION)) is None
    assert watching(happened(Kind.SKIP, source="derived")) is None


def test_what_was_shown_for_a_moment_is_no_watch_and_what_was_taken_to_is_one() -> None:
    assert watching(happened(Kind.WATCH_TIME, value=2.9, duration_ms=60_000)) is None
    for event in (
        happened(Kind.WATCH_TIME, value=3.0, duration_ms=60_000),
        happened(Kind.WATCH_TIME, value=2.0, duration_ms=4_000),
        happened(Kind.WATCH_TIME, value=0.1, completed=True),
        happened(Kind.FINISH),
        happened(Kind.LIKE),
    ):
        assert watching(event) == Watched("u", "v", 5, Origin(1, 2, 3), How.WATCHED), event
    assert watching(happened(Kind.FINISH, repeated=True)) is None


@given(st.lists(st.tuples(people, videos, st.sets(st.sampled_from([Kind.WATCH_TIME, Kind.LONG_VIEW, Kind.LIKE, Kind.SKIP]))), max_size=40))
def test_of_a_log_whose_feed_plays_by_itself_the_impressions_alone_decide(views: list[tuple[str, str, set[Kind]]]) -> None:
    whole, shown = CoWatch(change=0), CoWatch(change=0)
    for n, (user_id, video_id, outcomes) in enumerate(views):
        for place, kind in enumerate((Kind.IMPRESSION, *sorted(outcomes))):
            source = "derived" if kind in {Kind.LIKE, Kind.SKIP} else "upstream"
            fields = {"user_id": user_id, "video_id": video_id, "origin": Origin(0, n, place), "source": source, "value": 9.0}
            one = watching(msgspec.structs.replace(happened(kind), **fields))
            for cowatch in (whole, shown) if kind is Kind.IMPRESSION else (whole,):
                cowatch.on_batch([] if one is None else [one])
    assert told(whole) == told(shown)


def test_likes_and_finishes_alone_make_neighbours() -> None:
    cowatch = CoWatch(change=0)
    events = [happened(Kind.LIKE, 0, "a"), happened(Kind.FINISH, 1, "b"), happened(Kind.LIKE, 2, "b")]
    cowatch.on_batch([one for one in map(watching, events) if one is not None])
    assert {video: set(others) for video, others in told(cowatch).items()} == {"a": {"b"}, "b": {"a"}}


@pytest.mark.parametrize("kind", [Kind.SKIP, Kind.NOT_INTERESTED, Kind.REPORT])
def test_what_was_taken_back_is_paired_with_nothing_that_comes_later(kind: Kind) -> None:
    cowatch = CoWatch(change=0)
    events = [happened(Kind.LIKE, 0, "a"), happened(Kind.FINISH, 1, "b"), happened(kind, 2, "a"), happened(kind, 3, "unknown")]
    events.append(happened(Kind.FINISH, 4, "c"))
    cowatch.on_batch([one for one in map(watching, events) if one is not None])
    assert {video: set(others) for video, others in told(cowatch).items()} == {"a": {"b"}, "b": {"a", "c"}, "c": {"b"}}


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in ({"recent": 0}, {"recent": 9, "remembered": 8}, {"popularity": 1.1}, {"change": -0.1}, {"listed": 0}, {"max_pairs": 3}):
        with pytest.raises(ValueError, match="expected"):
            CoWatch(**wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=9, unique=True), max_size=20), st.integers(1, 7))
def test_pairs_are_counted_in_both_rows_and_survive_packing(lines: list[list[int]], rows_each: int) -> None:
    pairs = PairCounts()
    expected: Counter[tuple[int, int]] = Counter()
    for line in lines:
        for at in range(1, len(line)):
            pairs.gather(line[at], array("i", line[:at]))
        expected.update((a, b) for one, other in combinations(line, 2) for a, b in ((one, other), (other, one)))
        pairs.flush()
    packed = PairCounts()
    for block in pairs.pack(rows_each):
        packed.unpack(block)
    for store in (pairs, packed):
        got = {(row, code): n for row in range(len(store)) for code, n in zip(*(one.tolist() for one in store.row(row)), strict=True)}
        assert got == expected
        assert store.mass.tolist() == [sum(n for (row, _), n in expected.items() if row == one) for one in range(len(store))]


def test_four_digits_are_kept_at_any_size() -> None:
    assert four_digits(np.array([1.0, 0.00012345678, 9.9996, 123456.0])).tolist() == [1.0, 0.0001235, 10.0, 123500.0]
