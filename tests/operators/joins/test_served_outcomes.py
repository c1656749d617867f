from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from operators.joins.inputs import Happened, Input, Reached, event, page
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from operators.tokens import TokenClaims, sign
from schemas.learning import HEADS, LabelledExample
from schemas.telemetry import InteractionType as Kind

SECRET = b"0123456789abcdef"
T = 1_650_000_000_000
MINUTE = 60_000


def token(request_id: str, video_id: str, position: int, now_ms: int = T) -> str:
    return sign(SECRET, TokenClaims(request_id, video_id, position, now_ms, 1.0, "p", "1"))


def make(pages: MemoryPages | None = None, **settings: object) -> ServedOutcomes:
    return ServedOutcomes(secret=SECRET, pages=pages or MemoryPages(), **settings)  # type: ignore[arg-type]  # passed on as they are


def run(*inputs: Input, join: ServedOutcomes | None = None) -> tuple[list[LabelledExample], dict[str, int]]:
    join = join or make()
    out = join.on_batch(list(inputs))
    return out, {name: count for name, count in join.counts.items() if count}


def labels(example: LabelledExample) -> set[str]:
    return {head for head, value in example.labels.items() if value}


def test_a_view_is_labelled_with_the_features_of_its_item_once_its_watch_time_has_come() -> None:
    a = token("r1", "a", 1)
    out, counts = run(
        page("u", "r1", T, ["b", "a"]),
        event("u", "a", Kind.IMPRESSION, T + 100, 0, token=a),
        event("u", "a", Kind.WATCH_TIME, T + 9_000, 1, token=a, value=10.0),
        event("u", "a", Kind.LIKE, T + 9_200, 2, token=a),
        Reached(events_ms=T + 9_301),
    )
    [one] = out
    assert one.example_id == "r1/a"
    assert labels(one) == {"finish", "long_view", "like", "taken"}
    assert set(one.labels) == set(HEADS)
    assert (one.position, one.watch_ms, one.surface, one.joined_by) == (1, 10_000, "1", "token")
    assert (one.served_ms, one.outcome_ms) == (T, T + 9_200)
    np.testing.assert_array_equal(np.frombuffer(one.features, np.float32), np.array([0.1, 1.1, 2.1], np.float32))
    assert counts == {"pages": 1, "joined": 3, "examples": 1}


@pytest.mark.parametrize("then", [[], [Kind.LIKE]])
def test_a_like_that_was_taken_back_is_no_label_unless_it_is_given_again(then: list[Kind]) -> None:
    a = token("r1", "a", 0)
    kinds = [Kind.IMPRESSION, Kind.LIKE, Kind.FOLLOW, Kind.UNLIKE, *then, Kind.WATCH_TIME]
    happened = [event("u", "a", kind, T + n, n, token=a, value=1.0) for n, kind in enumerate(kinds)]
    [one], _ = run(page("u", "r1", T, ["a"]), *happened, Reached(events_ms=T + 1_000))
    assert labels(one) == {"follow", "taken", *then}


def test_what_waits_for_a_page_that_shows_it_stays_in_its_place_when_another_page_comes() -> None:
    join = make()
    early = [event("u", "b", Kind.IMPRESSION, T + 100, 0), event("w", "x", Kind.CLICK, T + 120, 1), event("u", "b", Kind.CLICK, T + 150, 2)]
    run(*early, Reached(events_ms=T + 2_000, served_ms=T + 2_000), page("u", "r0", T - 50, ["x", "y"], T + 2_100), join=join)
    other = make()
    other.restore(join.snapshot())
    for one in (join, other):
        out, counts = run(page("u", "r1", T, ["a", "b"], T + 2_200), Reached(events_ms=T + 400_000, served_ms=T + 3_000), join=one)
        assert [each.example_id for each in out] == ["r1/b/not/a", "r1/b"] and counts["joined"] == 2
        # Of what waits, the oldest leaves first: the click on x, which no page shows.
        _, counts = run(Reached(served_ms=T + 30_121), join=one)
        assert counts["unmatched"] == 1


def test_an_example_is_not_out_before_its_grace_is_over() -> None:
    a = token("r1", "a", 0)
    out, _ = run(page("u", "r1", T, ["a"]), event("u", "a", Kind.WATCH_TIME, T, 0, token=a, value=1.0), Reached(events_ms=T + 300))
    assert out == []


def test_a_skip_is_a_negative_and_what_was_never_seen_is_none() -> None:
    b = token("r1", "b", 1)
    out, _ = run(page("u", "r1", T, ["a", "b", "c"]), event("u", "b", Kind.SKIP, T, 0, token=b), Reached(events_ms=T + 1_000))
    [one] = out
    assert one.video_id == "b" and labels(one) == set()


def test_an_impression_without_any_outcome_is_a_negative_when_its_window_is_over() -> None:
    a = token("r1", "a", 0)
    start: list[Input] = [page("u", "r1", T, ["a"]), event("u", "a", Kind.IMPRESSION, T, 0, token=a)]
    window = 5 * MINUTE + 10_000  # the label window and the video's 10 seconds
    assert run(*start, Reached(events_ms=T + window))[0] == []
    [one] = run(*start, Reached(events_ms=T + window + 1))[0]
    assert labels(one) == set()


def test_event_time_closes_a_window_when_a_log_is_played_fast() -> None:
    #  event time   0        5:10          10:11
    #               |impression             |another person
    #  clock        0                      1 s
    a = token("r1", "a", 0)
    out, _ = run(
        page("u", "r1", T, ["a"]),
        event("u", "a", Kind.IMPRESSION, T, 0, token=a),
        event("w", "z", Kind.IMPRESSION, T + 10 * MINUTE + 10_001, 1, stamp_ms=T + 1_000),
        Reached(served_ms=T + 10_000),
    )
    assert [one.example_id for one in out] == ["r1/a"]


@pytest.mark.parametrize(
    ("why", "video_id", "at_ms", "given_token"),
    [
        ("forged", "a", T, sign(b"another secret..", TokenClaims("r1", "a", 0, T, 1.0, "p", "1"))),
        ("malformed", "a", T, "nonsense"),
        ("mismatched", "b", T, token("r1", "a", 0)),
        ("expired", "a", T + 31 * MINUTE, token("r1", "a", 0)),
        ("expired", "a", T - 6 * MINUTE, token("r1", "a", 0)),
    ],
)
def test_a_token_that_is_not_believed_is_counted_and_trains_nothing(why: str, video_id: str, at_ms: int, given_token: str) -> None:
    out, counts = run(
        page("u", "r1", T, ["a", "b"]),
        event("u", video_id, Kind.WATCH_TIME, at_ms, 0, token=given_token, value=9.0, stamp_ms=T),
        Reached(events_ms=T + 3_600_000, served_ms=T + 3_600_000),
    )
    assert out == [] and counts == {"pages": 1, why: 1}


def test_a_token_that_another_person_sends_joins_nothing() -> None:
    out, counts = run(
        page("u", "r1", T, ["a"]),
        event("thief", "a", Kind.LIKE, T, 0, token=token("r1", "a", 0)),
        Reached(events_ms=T + 3_600_000, served_ms=T + 31_000),
    )
    assert out == [] and counts == {"pages": 1, "unmatched": 1}


def test_after_the_example_is_out_a_repeated_token_is_replayed_and_a_new_outcome_late() -> None:
    a = token("r1", "a", 0)
    out, counts = run(
        page("u", "r1", T, ["a"]),
        event("u", "a", Kind.WATCH_TIME, T, 0, token=a, value=9.0),
        Reached(events_ms=T + 301),
        event("u", "a", Kind.WATCH_TIME, T + 500, 1, token=a, value=9.0),
        event("u", "a", Kind.LIKE, T + 600, 2, token=a),
        Reached(events_ms=T + 3_600_000),
    )
    assert len(out) == 1 and labels(out[0]) == set()
    assert (counts["replayed"], counts["late"], counts["examples"]) == (1, 1, 1)


def test_an_event_that_is_read_before_its_page_waits_for_it() -> None:
    a = token("r1", "a", 0)
    out, counts = run(
        event("u", "a", Kind.WATCH_TIME, T + 100, 0, token=a, value=12.0),
        Reached(events_ms=T + 20_000, served_ms=T),
        page("u", "r1", T, ["a"], T + 15_000),
    )
    assert [one.example_id for one in out] == ["r1/a"] and counts == {"pages": 1, "joined": 1, "examples": 1}


def test_an_event_whose_page_never_comes_is_counted_when_its_wait_is_over() -> None:
    out, counts = run(
        event("u", "a", Kind.LIKE, T, 0, token=token("r1", "a", 0)),
        event("w", "a", Kind.LIKE, T, 1),
        Reached(events_ms=T, served_ms=T + 30_001),
        page("u", "r1", T, ["a"], T + 30_001),
        page("w", "r2", T, ["a"], T + 30_001),
    )
    assert out == [] and counts == {"pages": 2, "unmatched": 2}


def test_an_event_from_upstream_joins_the_newest_page_answered_before_it() -> None:
    #  pages   r1(a) ── r2(a,b) ── r3(b) ────────── r4(a)
    #  events                          impression a        watch a
    out, counts = run(
        page("u", "r1", T, ["a"]),
        page("u", "r2", T + 1_000, ["b", "a"]),
        page("u", "r3", T + 2_000, ["b"]),
        event("u", "a", Kind.IMPRESSION, T + 3_000, 0),
        page("u", "r4", T + 4_000, ["a"]),
        event("u", "a", Kind.WATCH_TIME, T + 5_000, 1, value=4.0),
        event("u", "a", Kind.LONG_VIEW, T + 5_000, 2),
        Reached(events_ms=T + 6_000, served_ms=T + 6_001),
    )
    passed, taken = out
    assert (taken.example_id, taken.joined_by, labels(taken)) == ("r2/a", "video", {"long_view", "taken"})
    assert (passed.example_id, passed.labels) == ("r2/a/not/b", {"taken": 0})
    assert counts["examples"] == 1


def test_an_event_from_upstream_waits_until_slow_answers_have_settled() -> None:
    impression = event("u", "a", Kind.IMPRESSION, T + 100, 0)
    over: list[Input] = [event("u", "a", Kind.SKIP, T + 100, 1), Reached(events_ms=T + 5_000, served_ms=T + 5_000)]
    slow = page("u", "r2", T + 100, ["a"], T + 900)
    out, _ = run(page("u", "r1", T, ["a"]), impression, slow, *over)
    assert [one.request_id for one in out] == ["r2"]


def test_a_client_event_without_a_token_is_counted_only() -> None:
    plain = event("u", "a", Kind.LIKE, T, 0, token="x")
    untracked = Happened(msgspec.structs.replace(plain.event, tracking_token=None), T)
    out, counts = run(page("u", "r1", T, ["a"]), untracked, Reached(events_ms=T + 3_600_000))
    assert out == [] and counts == {"pages": 1, "untracked": 1}


def test_items_passed_over_stand_before_the_one_taken_bounded_and_drawn_the_same_each_time() -> None:
    videos = [f"v{i}" for i in range(100)]
    inputs: list[Input] = [
        page("u", "r1", T, videos),
        event("u", "v7", Kind.IMPRESSION, T, 0),
        event("u", "v7", Kind.WATCH_TIME, T + 1, 1, value=1.0),
        event("u", "v7", Kind.LONG_VIEW, T + 1, 2),
        Reached(events_ms=T + 2_000, served_ms=T + 2_000),
    ]
    out, _ = run(*inputs)
    assert len(out) == 21 and out[-1].example_id == "r1/v7"
    assert all(one.labels == {"taken": 0} and one.video_id != "v7" for one in out[:-1])
    assert len({one.video_id for one in out}) == 21
    assert run(*inputs)[0] == out


def test_of_a_page_that_was_shown_only_items_that_were_seen_count_as_passed_over() -> None:
    a, b, c = (token("r1", video, place) for place, video in enumerate("abc"))
    out, _ = run(
        page("u", "r1", T, ["a", "b", "c", "d"]),
        event("u", "a", Kind.SKIP, T, 0, token=a),
        event("u", "b", Kind.WATCH_TIME, T + 1_000, 1, token=b, value=9.0),
        event("u", "c", Kind.WATCH_TIME, T + 2_000, 2, token=c, value=10.0),
        Reached(events_ms=T + 3_000),
    )
    assert [one.example_id for one in out] == ["r1/a", "r1/b", "r1/c/not/a", "r1/c/not/b", "r1/c"]


def test_a_page_read_twice_or_answered_twice_alike_is_held_once() -> None:
    a = token("r1", "a", 0)
    out, counts = run(
        page("u", "r1", T, ["a"]),
        page("u", "r1", T, ["a"], T + 5),
        event("u", "a", Kind.SKIP, T, 0, token=a),
        event("u", "a", Kind.SKIP, T, 0, token=a),
        Reached(events_ms=T + 1_000),
    )
    assert len(out) == 1 and (counts["pages"], counts["pages_folded"], counts["repeats"]) == (1, 1, 1)


def test_a_hedged_request_joins_the_answer_whose_token_came_back() -> None:
    out, _ = run(
        page("u", "r1", T, ["a", "b"]),
        page("u", "r1", T + 60, ["b", "a"]),
        event("u", "a", Kind.SKIP, T + 100, 0, token=token("r1", "a", 1, T + 60)),
        Reached(events_ms=T + 1_000),
    )
    assert [(one.example_id, one.position, one.served_ms) for one in out] == [("r1/a", 1, T + 60)]


def test_pages_are_bounded_and_their_open_views_are_not_lost() -> None:
    join = make(max_pages_per_user=2)
    a = token("r0", "a", 0)
    out, _ = run(page("u", "r0", T, ["a"]), event("u", "a", Kind.IMPRESSION, T, 0, token=a), join=join)
    more, counts = run(page("u", "r1", T, ["a"]), page("u", "r2", T, ["a"]), event("u", "a", Kind.LIKE, T, 1, token=a), join=join)
    assert out == [] and [one.example_id for one in more] == ["r0/a"]
    assert "late" not in counts


def test_a_page_whose_bulk_is_gone_is_counted() -> None:
    join = make(MemoryPages(max_pages=1))
    a = token("r1", "a", 0)
    out, counts = run(
        page("u", "r1", T, ["a"]),
        page("w", "r2", T, ["b", "c"]),
        event("u", "a", Kind.SKIP, T, 0, token=a),
        Reached(events_ms=T + 1_000),
        join=join,
    )
    assert out == [] and counts["pages_gone"] == 1


def test_a_video_that_says_it_lasts_for_ages_leaves_a_state_that_can_be_saved() -> None:
    join = make()
    shown = event("u", "a", Kind.IMPRESSION, T + 1, 0, token=token("r1", "a", 0))
    endless = Happened(msgspec.structs.replace(shown.event, duration_ms=2**64 - 1), shown.stamp_ms)
    run(page("u", "r1", T, ["a"]), endless, join=join)
    make().restore(join.snapshot())


def test_state_is_bounded_over_an_endless_stream() -> None:
    join = make(max_pages=50, max_waiting=50, served_window=timedelta(minutes=1), label_window=timedelta(seconds=1))
    sizes = []
    for n in range(2_000):
        at = T + n * 1_000
        shown = token(f"r{n}", "a", 0, at)
        join.on_batch(
            [
                page(f"u{n}", f"r{n}", at, ["a"]),
                event(f"u{n}", "a", Kind.IMPRESSION, at, 3 * n, token=shown),
                event(f"u{n}", "q", Kind.IMPRESSION, at, 3 * n + 1),
                event(f"u{n}", "a", Kind.LIKE, at, 3 * n + 2, token=token("never", "a", 0, at)),
            ]
        )
        sizes.append(len(join.snapshot()["state"]))
    assert max(sizes[1_000:]) <= 1.05 * max(sizes[500:1_000])
