"""Admission: each event once, joined with the catalogue."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ingest.admit import Admission, Repeats
from operators.ingest.arrivals import Candidate, Parsed, RawRecord, Upsert
from operators.interactions import counted_as
from schemas.catalog import CatalogItem
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import Event, InteractionType, RawEvent


def _parsed(offset: int, *ids: str, user_id: str = "u", received_ms: int = 0) -> Parsed:
    record = RawRecord("telemetry.raw", 0, offset, received_ms, b"u", b"{}")
    events = [RawEvent(event_id=one, video_id="v", interaction_type=InteractionType.LIKE, timestamp=0) for one in ids]
    return Parsed([Candidate(record, place, user_id, None, event, None) for place, event in enumerate(events)], [])


def _through(admission: Admission, *arrivals: Parsed | Upsert) -> list[str]:
    return [one.event_id for one in admission.on_batch(arrivals) if isinstance(one, Event)]


def test_a_late_retry_is_not_counted_twice() -> None:
    admission = Admission()
    assert _through(admission, _parsed(0, "a", "b"), _parsed(1, "b", "c")) == ["a", "b", "c"]


def test_the_same_id_of_another_person_is_another_event() -> None:
    assert _through(Admission(), _parsed(0, "a"), _parsed(1, "a", user_id="w")) == ["a", "a"]


def test_a_batch_that_comes_again_as_a_whole_makes_one_letter() -> None:
    admission = Admission()
    admission.on_batch([_parsed(0, "a", "b")])
    [repeats, letter] = admission.on_batch([_parsed(1, "a", "b")])
    assert repeats == Repeats(2)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event_index, letter.offset) == (ReasonCode.DUPLICATE, -1, 1)


def test_a_repeat_among_new_events_makes_a_letter_of_its_own() -> None:
    admission = Admission()
    admission.on_batch([_parsed(0, "a")])
    letters = [one for one in admission.on_batch([_parsed(1, "b", "a")]) if isinstance(one, DeadLetter)]
    assert [(letter.event_index, letter.path) for letter in letters] == [(1, "$.events[1].event_id")]


def test_an_id_is_remembered_for_the_horizon_at_least() -> None:
    """Horizon 12 s: a generation lasts 4 s, and there are four.

    generation   | 0 .. 4 | 4 .. 8 | 8 .. 12 | 12 .. 16 | 16 ..
    id "a" at 0    1st      2nd      3rd       4th        forgotten
    """
    admission = Admission(horizon=timedelta(seconds=12))
    assert _through(admission, _parsed(0, "a", received_ms=100_000)) == ["a"]
    for n in range(1, 4):
        at_ms = 100_000 + 4_000 * n
        assert _through(admission, _parsed(2 * n, f"b{n}", received_ms=at_ms), _parsed(2 * n + 1, "a", received_ms=at_ms)) == [f"b{n}"]
    assert _through(admission, _parsed(8, "c", received_ms=116_000), _parsed(9, "a", received_ms=116_000)) == ["c", "a"]


def test_events_carry_what_the_catalogue_says_when_they_come() -> None:
    admission = Admission()
    item = CatalogItem(video_id="v", creator_id="c", tags=("x",), duration_ms=9_000, category="k")
    found = admission.on_batch([_parsed(0, "a"), Upsert("v", item), _parsed(1, "b"), Upsert("v", None), _parsed(2, "c")])
    joined = [
        (one.event_id, one.listed, one.creator_id, one.tags, one.duration_ms, one.category) for one in found if isinstance(one, Event)
    ]
    assert joined == [("a", False, None, (), None, None), ("b", True, "c", ("x",), 9_000, "k"), ("c", False, None, (), None, None)]


def test_the_catalogue_is_counted_over_changes_deletions_and_a_restart() -> None:
    admission = Admission()
    for video_id, category in (("v", "k"), ("w", None), ("v", "other"), ("x", "k")):
        admission.on_batch([Upsert(video_id, CatalogItem(video_id=video_id, category=category))])
    admission.on_batch([Upsert("x", None), Upsert("never there", None)])
    restarted = Admission()
    restarted.restore(admission.snapshot())
    for one in (admission, restarted):
        assert (one.videos.n, one.videos.n_with_category) == (2, 1)


def test_repeats_are_counted_and_one_a_minute_and_partition_makes_a_letter() -> None:
    admission = Admission()
    admission.on_batch([_parsed(0, "a", "b", received_ms=60_000)])
    found = [
        admission.on_batch([_parsed(offset, "a", "b", received_ms=at_ms)])
        for offset, at_ms in ((1, 61_000), (2, 119_999), (3, 120_000), (4, 121_000))
    ]
    assert [one[0] for one in found] == [Repeats(2)] * 4
    assert [len(one) - 1 for one in found] == [1, 0, 1, 0]


def _acts(*acts: tuple[str, int, dict[str, Any]], user_id: str = "u") -> list[Parsed]:
    """Return a record for each act: kind, minute of event time, and what else it says."""
    made = []
    for offset, (kind, minute, says) in enumerate(acts):
        value = says.pop("value", None)
        record = RawRecord("telemetry.raw", 0, offset, 0, b"u", b"{}")
        fields = {"event_id": f"{offset}-{kind}-{minute}", "video_id": "v", "interaction_type": kind, "timestamp": T0 + 60_000 * minute}
        made.append(Parsed([Candidate(record, 0, user_id, None, msgspec.convert(fields | says, RawEvent), value)], []))
    return made


def _counted(admission: Admission, parsed: list[Parsed]) -> list[list[str]]:
    return [[kind.value for kind in counted_as(one)] for one in admission.on_batch(parsed) if isinstance(one, Event)]


T0 = 1_699_999_200_000
"""The beginning of a half hour."""


@pytest.mark.parametrize(
    ("acts", "counted"),
    [
        ([("watch_time", 0, {"completed": True})], [["watch_time", "finish", "long_view"]]),
        ([("watch_time", 0, {"value": 20.0}), ("long_view", 1, {}), ("finish", 2, {})], [["watch_time", "long_view"], [], ["finish"]]),
        ([("finish", 0, {}), ("watch_time", 1, {"completed": True})], [["finish", "long_view"], ["watch_time"]]),
        ([("long_view", 0, {}), ("finish", 0, {}), ("finish", 0, {})], [["long_view"], ["finish"], []]),
        ([("finish", 31, {}), ("finish", 29, {})], [["finish", "long_view"], []]),
        (
            [("finish", 29, {}), ("finish", 31, {}), ("finish", 59, {}), ("finish", 60, {})],
            [["finish", "long_view"], [], [], ["finish", "long_view"]],
        ),
        ([("finish", 0, {}), ("finish", 0, {"video_id": "w"})], [["finish", "long_view"], ["finish", "long_view"]]),
        (
            [("finish", 0, {"source": "upstream"}), ("finish", 1, {"source": "upstream"}), ("long_view", 1, {})],
            [["finish"], ["finish"], ["long_view"]],
        ),
        ([("like", 0, {}), ("like", 0, {})], [["like"], ["like"]]),
    ],
)
def test_a_finish_and_a_long_view_count_once_for_a_view(acts: list[tuple[str, int, dict[str, Any]]], counted: list[list[str]]) -> None:
    assert _counted(Admission(), _acts(*[(kind, minute, dict(says)) for kind, minute, says in acts])) == counted


def test_what_is_sent_again_stays_an_event_and_another_person_has_views_of_their_own() -> None:
    admission = Admission()
    events = [one for one in admission.on_batch(_acts(("finish", 0, {}), ("finish", 1, {}))) if isinstance(one, Event)]
    assert [(one.repeated, one.implies) for one in events] == [(False, (InteractionType.LONG_VIEW,)), (True, ())]
    assert _counted(admission, _acts(("finish", 0, {}), user_id="w")) == [["finish", "long_view"]]


SAID = st.sampled_from(
    [("watch_time", {"completed": True}), ("finish", {}), ("long_view", {}), ("watch_75", {}), ("watch_time", {"value": 30.0})]
)


@given(said=st.lists(st.tuples(SAID, st.integers(0, 59)), min_size=1, max_size=10), order=st.randoms(use_true_random=False))
def test_within_a_view_the_order_of_what_is_said_changes_no_count(
    said: list[tuple[tuple[str, dict[str, Any]], int]], order: Random
) -> None:
    def total(acts: list[tuple[tuple[str, dict[str, Any]], int]]) -> Counter[str]:
        found = _counted(Admission(capacity=1_000), _acts(*[(kind, minute, dict(says)) for (kind, says), minute in acts]))
        return Counter(kind for one in found for kind in one)

    assert total(said) == total(order.sample(said, len(said)))
    assert max(total(said)[kind] for kind in ("finish", "long_view")) <= 1


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=20))
def test_what_goes_through_is_each_id_once_and_every_event_is_counted(batches: list[list[str]]) -> None:
    admission = Admission(capacity=1_000)
    found = admission.on_batch([_parsed(offset, *ids) for offset, ids in enumerate(batches)])
    events = [one for one in found if isinstance(one, Event)]
    assert sorted(one.event_id for one in events) == sorted({one for ids in batches for one in ids})
    assert len(events) + sum(one.n for one in found if isinstance(one, Repeats)) == sum(map(len, batches))
    origins = [(one.origin.offset, one.origin.index) for one in events]
    assert origins == sorted(origins)
