from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.trending.scores import Scores
from operators.trending.trending import BUCKETS, Trending, bucket_of
from schemas.features import TrendingList
from schemas.telemetry import Context, Event, InteractionType, Origin

HOUR = 3_600_000
NOW = 1_651_000_000_000

adds = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([-1.0, 0.5, 1.0, 2.0]), st.integers(0, 400 * HOUR)), min_size=1, max_size=40
)


def event(
    n: int, video: str, kind: InteractionType = InteractionType.LIKE, *, at_ms: int = NOW, region: str | None = None, tag: str = ""
) -> Event:
    return Event(
        event_id=str(n),
        user_id="u",
        video_id=video,
        interaction_type=kind,
        timestamp_ms=at_ms,
        received_ms=at_ms,
        origin=Origin(0, n, 0),
        context=Context(region=region) if region else None,
        tags=("another", tag),
        category=tag or None,
    )


def lists(trending: Trending) -> dict[str, TrendingList]:
    return {one.scope: one for one in trending.on_time(0)}


@given(adds)
def test_a_score_is_the_sum_of_decayed_weights_in_whatever_order_they_came(some: list[tuple[str, float, int]]) -> None:
    scores = Scores(half_life_ms=HOUR, most=100)
    for video, weight, at_ms in some:
        scores.add(video, weight, at_ms)
    newest = max(at_ms for _, _, at_ms in some)
    expected: dict[str, float] = {}
    for video, weight, at_ms in some:
        expected[video] = expected.get(video, 0.0) + weight * 2.0 ** (-(newest - at_ms) / HOUR)
    ids, values = scores.top(10)
    assert values == pytest.approx([expected[video] for video in ids], rel=1e-9, abs=1e-290)
    assert values == sorted(values, reverse=True)
    assert {video for video, value in expected.items() if value > 1e-100} <= set(ids)


def test_events_years_apart_move_the_landmark() -> None:
    scores = Scores(half_life_ms=HOUR, most=100)
    scores.add("old", 1.0, 0)
    scores.add("half", 1.0, 600 * HOUR - HOUR)
    scores.add("new", 1.0, 600 * HOUR)
    scores.add("far", 1.0, 40_000 * HOUR)
    scores.add("late", 1.0, 39_999 * HOUR)
    assert scores.top(5) == (["far", "late"], [1.0, 0.5])


def test_a_full_scope_drops_the_lowest() -> None:
    scores = Scores(half_life_ms=HOUR, most=8)
    for n in range(9):
        scores.add(f"v{n}", float(n + 1), NOW)
    assert scores.top(9)[0] == ["v8", "v7", "v6", "v5", "v4", "v3"]


def test_ties_break_by_id_and_only_the_best_are_listed() -> None:
    scores = Scores(half_life_ms=HOUR, most=100)
    for video in "dbca":
        scores.add(video, 1.0, NOW)
    scores.add("e", 2.0, NOW)
    scores.add("sunk", -1.0, NOW)
    assert scores.top(3)[0] == ["e", "a", "b"]
    assert scores.top(9)[0] == ["e", "a", "b", "c", "d"]


def test_each_scope_has_its_own_list() -> None:
    trending = Trending(half_life=timedelta(hours=1))
    trending.on_batch(
        [event(0, "a", region="NL", tag="food"), event(1, "b", tag="food"), event(2, "c", InteractionType.SHARE, region="JP")]
    )
    told = lists(trending)
    assert {scope: one.video_ids for scope, one in told.items()} == {
        "global": ["c", "a", "b"],
        "region:NL": ["a"],
        "region:JP": ["c"],
        "category:food": ["a", "b"],
    }
    assert told["global"].scores == [3.0, 2.0, 2.0]
    assert told["global"].as_of_ms == NOW


def test_a_report_takes_a_video_down() -> None:
    trending = Trending()
    trending.on_batch([event(0, "a"), event(1, "b", InteractionType.LONG_VIEW), event(2, "a", InteractionType.REPORT)])
    assert lists(trending)["global"].video_ids == ["b"]


def test_a_like_that_is_taken_back_takes_its_weight_back() -> None:
    trending = Trending()
    trending.on_batch([event(0, "a"), event(1, "b"), event(2, "a", InteractionType.UNLIKE)])
    told = lists(trending)["global"]
    assert (told.video_ids, told.scores) == (["b"], [2.0])


def test_a_watch_to_the_end_weighs_as_the_finish_and_the_long_view_that_it_is_and_saying_so_again_adds_nothing() -> None:
    trending = Trending()
    finished, again = event(0, "a", InteractionType.WATCH_TIME), event(1, "a", InteractionType.FINISH)
    trending.on_batch(
        [
            msgspec.structs.replace(finished, implies=(InteractionType.FINISH, InteractionType.LONG_VIEW)),
            msgspec.structs.replace(again, repeated=True),
        ]
    )
    assert lists(trending)["global"].scores == [1.5]


def test_regions_are_one_scope_however_they_are_spelled() -> None:
    trending = Trending()
    trending.on_batch([event(0, "a", region="us"), event(1, "b", region="US-CA"), event(2, "c", region=" ")])
    assert set(lists(trending)) == {"global", "region:US"}


def test_what_the_catalogue_does_not_hold_stands_in_no_list() -> None:
    trending = Trending()
    trending.on_batch([msgspec.structs.replace(event(0, "ghost"), listed=False), event(1, "real")])
    assert lists(trending)["global"].video_ids == ["real"]


def test_impressions_count_for_nothing_and_make_no_news() -> None:
    trending = Trending()
    trending.on_batch([event(0, "a", InteractionType.IMPRESSION)])
    assert not trending.pending


def test_what_comes_again_after_a_crash_is_counted_once() -> None:
    trending = Trending()
    events = [event(n, "a") for n in range(3)]
    trending.on_batch(events)
    trending.on_batch(events)
    assert lists(trending)["global"].scores == [6.0]


def test_only_changed_lists_are_told() -> None:
    trending = Trending()
    trending.on_batch([event(0, "a", region="NL"), event(1, "b", region="JP")])
    assert len(lists(trending)) == 3
    trending.on_batch([event(2, "b", region="JP")])
    assert set(lists(trending)) == {"global", "region:JP"}
    assert lists(trending) == {}


def test_a_forgotten_scope_is_told_as_an_empty_list() -> None:
    trending = Trending(max_scopes=BUCKETS)
    tags = [f"t{n}" for n in range(4_000)]
    same = [tag for tag in tags if bucket_of(f"category:{tag}") == bucket_of("category:t0")][:2]
    trending.on_batch([event(0, "a", tag=same[0], at_ms=NOW)])
    lists(trending)
    trending.on_batch([event(1, "b", tag=same[1], at_ms=NOW + 1)])
    told = lists(trending)
    assert told[f"category:{same[0]}"].video_ids == []
    assert told[f"category:{same[1]}"].video_ids == ["b"]


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="half_life"):
        Trending(half_life=timedelta(0))
    with pytest.raises(ValueError, match="max_scopes"):
        Trending(max_scopes=1)
