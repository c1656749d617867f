"""The recount: the plainest way to count, against which the stream's counters are held."""

from __future__ import annotations

from schemas.features import N_COUNTERS, Counter, Pane
from schemas.telemetry import Event, InteractionType, Origin
from serving.recount import Recount

MINUTE = 60_000


def _event(kind: InteractionType, minute: int, index: int = 0, value: float | None = None) -> Event:
    return Event(
        event_id=f"e{index}",
        user_id="u",
        video_id="v",
        interaction_type=kind,
        timestamp_ms=minute * MINUTE + 1,
        received_ms=minute * MINUTE + 2,
        origin=Origin(0, 0, index),
        value=value,
        creator_id="c",
        tags=("a", "b", "a"),
        duration_ms=20_000,
    )


def _row(**counts: int) -> list[int]:
    row = [0] * N_COUNTERS
    for name, n in counts.items():
        row[Counter[name.upper()]] = n
    return row


def test_an_event_counts_once_for_everything_that_it_names() -> None:
    recount = Recount()
    recount.add(_event(InteractionType.LIKE, 100))
    assert set(recount.counts) == {"user:u", "video:v", "creator:c", "tag:a", "tag:b", "user:u/tag:a", "user:u/tag:b"}
    assert all(count.totals == _row(likes=1) for count in recount.counts.values())


def test_equal_counters_leave_nothing_to_say() -> None:
    recount = Recount()
    recount.add(_event(InteractionType.LIKE, 100))
    recount.add(_event(InteractionType.WATCH_TIME, 101, 1, value=5.0))
    totals = _row(likes=1, watches=1, watch_ms=5_000, completion_permille=250)
    panes = [Pane(100, _row(likes=1)), Pane(101, _row(watches=1, watch_ms=5_000, completion_permille=250))]
    assert list(recount.compare("video:v", totals, panes)) == []


def test_a_wrong_counter_is_named_with_its_window() -> None:
    recount = Recount()
    recount.add(_event(InteractionType.LIKE, 100))
    found = list(recount.compare("video:v", _row(likes=2), [Pane(100, _row(likes=1, clicks=3))]))
    assert [(wrong.window, wrong.counter, wrong.expected, wrong.got) for wrong in found] == [
        ("total", "likes", 1, 2),
        ("100", "clicks", 0, 3),
    ]


def test_minutes_that_no_window_reaches_any_more_do_not_matter() -> None:
    """Minutes 100 and 130 were counted: at 130 the oldest pane is 101.

    minute   100 ................ 130
    kept         |101 ... 130|
    """
    recount = Recount()
    recount.add(_event(InteractionType.LIKE, 100))
    recount.add(_event(InteractionType.LIKE, 130, 1))
    assert list(recount.compare("video:v", _row(likes=2), [Pane(130, _row(likes=1))])) == []
    assert list(recount.compare("video:v", _row(likes=2), [Pane(100, _row(likes=1)), Pane(130, _row(likes=1))])) == []
    assert list(recount.compare("video:v", _row(likes=2), []))


def test_an_entity_that_nobody_counted_must_be_empty() -> None:
    assert list(Recount().compare("video:w", _row(), [])) == []
    assert len(list(Recount().compare("video:w", _row(likes=1), []))) == 1


def test_what_is_taken_back_leaves_the_total_and_the_newest_minute_that_holds_any() -> None:
    """Likes in minutes 100 and 102, taken back in 105: the one of 102 goes."""
    recount = Recount()
    for n, (kind, minute) in enumerate(((InteractionType.LIKE, 100), (InteractionType.LIKE, 102), (InteractionType.UNLIKE, 105))):
        recount.add(_event(kind, minute, n))
    for entity in ("user:u", "user:u/tag:a", "video:v"):
        assert list(recount.compare(entity, _row(likes=1), [Pane(100, _row(likes=1))])) == []


def test_a_person_never_owes_a_like_and_a_video_does_until_it_comes() -> None:
    recount = Recount()
    recount.add(_event(InteractionType.UNLIKE, 100))
    assert list(recount.compare("video:v", _row(), [])) == []
    recount.add(_event(InteractionType.LIKE, 101, 1))
    assert list(recount.compare("user:u", _row(likes=1), [Pane(101, _row(likes=1))])) == []
    assert list(recount.compare("video:v", _row(), [Pane(101, _row(likes=1))])) == []
