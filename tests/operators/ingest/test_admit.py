"""Admission: each event once, joined with the catalogue."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from operators.ingest.admit import Admission
from operators.ingest.arrivals import Candidate, Parsed, RawRecord, Upsert
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
    [letter] = admission.on_batch([_parsed(1, "a", "b")])
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.event_index, letter.offset) == (ReasonCode.DUPLICATE, -1, 1)


def test_a_repeat_among_new_events_makes_a_letter_of_its_own() -> None:
    admission = Admission()
    admission.on_batch([_parsed(0, "a")])
    letters = [one for one in admission.on_batch([_parsed(1, "b", "a")]) if isinstance(one, DeadLetter)]
    assert [(letter.event_index, letter.path) for letter in letters] == [(1, "$.events[1].event_id")]


def test_an_id_is_remembered_for_the_horizon_at_least() -> None:
    """Horizon 10 s, ids come at 0 s, 9 s, 12 s ...

    generation   | 0 ........ 10 | 12 ....... 22 | 23
    id "a" at 0    newer           older           forgotten
    """
    admission = Admission(horizon=timedelta(seconds=10))
    assert _through(admission, _parsed(0, "a", received_ms=100_000)) == ["a"]
    assert _through(admission, _parsed(1, "a", received_ms=109_000)) == []
    assert _through(admission, _parsed(2, "b", received_ms=112_000), _parsed(3, "a", received_ms=113_000)) == ["b"]
    assert _through(admission, _parsed(4, "c", received_ms=123_000), _parsed(5, "a", received_ms=123_000)) == ["c", "a"]


def test_events_carry_what_the_catalogue_says_when_they_come() -> None:
    admission = Admission()
    item = CatalogItem(video_id="v", creator_id="c", tags=("x",), duration_ms=9_000)
    found = admission.on_batch([_parsed(0, "a"), Upsert("v", item), _parsed(1, "b"), Upsert("v", None), _parsed(2, "c")])
    joined = [(one.event_id, one.creator_id, one.tags, one.duration_ms) for one in found if isinstance(one, Event)]
    assert joined == [("a", None, (), None), ("b", "c", ("x",), 9_000), ("c", None, (), None)]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4), max_size=20))
def test_what_goes_through_is_each_id_once_and_every_event_is_accounted_for(batches: list[list[str]]) -> None:
    admission = Admission()
    parsed = [_parsed(offset, *ids) for offset, ids in enumerate(batches)]
    found = admission.on_batch(parsed)
    events = [one for one in found if isinstance(one, Event)]
    assert sorted(one.event_id for one in events) == sorted({one for ids in batches for one in ids})
    places = {(one.origin.offset, one.origin.index) for one in events}
    letters = {(one.offset, one.event_index) for one in found if isinstance(one, DeadLetter)}
    for offset, ids in enumerate(batches):
        assert all((offset, place) in places or (offset, place) in letters or (offset, -1) in letters for place in range(len(ids)))
    origins = [(one.origin.offset, one.origin.index) for one in events]
    assert origins == sorted(origins)
