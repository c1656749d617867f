"""Batches that cannot be decoded as a whole: the good events of them are found, whatever the bad ones are."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ingest.arrivals import RawRecord
from operators.ingest.parse import Parser
from operators.ingest.pieces import MAX_DEPTH, take_apart
from operators.ingest.scrub import Scrubber
from schemas.telemetry import MAX_EVENTS

NOW = 1_700_000_000_000
PARSER = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=0)

POISONED = {
    "half of a surrogate pair": rb'{"event_id":"x","context":{"surface":"\ud83d"}}',
    "half of one in a name": rb'{"\udc00":1}',
    "no UTF-8": b'{"event_id":"\xff\xfe"}',
    "a literal NaN": b'{"event_id":"x","value":NaN}',
    "a literal -Infinity": b'{"event_id":"x","value":-Infinity}',
    "a number beyond all": b'{"event_id":"x","value":1e400}',
    "a bad number": b'{"event_id":"x","value":01.2.3}',
    "a bad escape": rb'{"event_id":"\x41"}',
    "a line feed in a text": b'{"event_id":"a\nb"}',
    "a missing quote at an end": b'{"event_id":"x,"video_id":"v"}',
    "a missing quote at the end": b'{"event_id":"x","video_id":"v}',
    "a missing quote at a beginning": b'{"event_id":x","video_id":"v"}',
    "a missing quote of a name": b'{event_id":"x","video_id":"v"}',
    "a quote too many": b'{"event_id":"say "hello" to me"}',
    "an escaped last quote": b'{"event_id":"C:\\"}',
    "a missing colon": b'{"event_id" "x"}',
    "a missing comma": b'{"event_id":"x" "video_id":"v"}',
    "a comma too many": b'{"event_id":"x",}',
    "a missing brace": b'{"event_id":"x"',
    "a missing brace behind another": b'{"event_id":"x","context":{"region":"DE"}',
    "a brace too many": b'{"event_id":"x"}}',
    "a missing bracket": b'{"event_id":["x"}',
    "a bracket too many": b'{"event_id":"x"]}',
    "single quotes": b"{'event_id':'x'}",
    "names without quotes": b"{event_id:1}",
    "brackets in a text": b'{"event_id":"]},{[","value":NaN}',
    "deep nesting": b'{"event_id":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "a word": b"undefined",
    "a text": b'"event"',
    "a number": b"7",
    "a list": b"[1,[2]]",
    "nothing": b"",
    "an open brace": b"{",
    "a closed brace": b"}",
}


def _event(name: str) -> bytes:
    fields = {"event_id": name, "video_id": "]},{", "interaction_type": "like", "timestamp": NOW, "context": {"surface": 'a"{\\'}}
    return msgspec.json.encode(fields)


def _parse(value: bytes) -> tuple[list[tuple[int, str]], list[int]]:
    parsed = PARSER.parse(RawRecord("telemetry.raw", 0, 0, NOW, b"u", value))
    return [(one.place, one.event.event_id) for one in parsed.candidates], [one.event_index for one in parsed.letters]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", POISONED)
def test_one_poisoned_event_leaves_the_others_as_they_are(kind: str, place: int) -> None:
    events = [_event("a"), _event("b")]
    events.insert(place, POISONED[kind])
    value = b'{"user_id":"u","events":[' + b",".join(events) + b'],"device_id":"d"}'
    found, letters = _parse(value)
    assert [name for _, name in found] == ["a", "b"]
    assert letters == [place]
    assert place not in {index for index, _ in found}


GAPS = st.text(" \t\r\n", max_size=3).map(str.encode)


@given(
    events=st.lists(st.sampled_from([[True], [False, True]]), min_size=1, max_size=4).map(
        lambda runs: [one for run in runs for one in run]
    ),
    kinds=st.lists(st.sampled_from(sorted(POISONED)), min_size=8, max_size=8),
    gaps=st.lists(GAPS, min_size=9, max_size=9),
    ahead=st.booleans(),
)
def test_good_events_between_bad_ones_of_any_kind_go_through_and_none_is_lost(
    events: list[bool], kinds: list[str], gaps: list[bytes], ahead: bool
) -> None:
    made = [_event(str(index)) if is_good else POISONED[kind] for index, (is_good, kind) in enumerate(zip(events, kinds, strict=False))]
    listed = b'"events":[' + b",".join(gap + one + gap for gap, one in zip(gaps, made, strict=False)) + b"]" + gaps[-1]
    value = b'{"user_id":"u",' + listed + b"}" if ahead else b"{" + listed + b',"user_id":"u"}'
    found, letters = _parse(value)
    assert found == [(index, str(index)) for index, is_good in enumerate(events) if is_good]
    assert letters == [index for index, is_good in enumerate(events) if not is_good]


@given(
    poison=st.binary(max_size=60).filter(lambda data: not {b'"'[0], b"\\"[0], *b"[]{},"} & set(data))
    | st.text(max_size=60).map(lambda text: msgspec.json.encode(text)[1:-1])
)
def test_whatever_stands_inside_a_text_poisons_its_own_event_at_most(poison: bytes) -> None:
    bad = b'{"event_id":"b","video_id":"v","interaction_type":"like","timestamp":1,"note":"' + poison + b'"}'
    found, letters = _parse(b'{"user_id":"u","events":[' + b",".join([_event("a"), bad, _event("c")]) + b"]}")
    assert ([(0, "a"), (2, "c")], [1]) == (found, letters)


@pytest.mark.parametrize(
    "around",
    [
        b'{"user_id":"u","events":[%s]',
        b'{"user_id":"u","events":[%s',
        b'{"user_id":"u,"events":[%s]}',
        b'{"user_id":NaN,"events":[%s]}',
        b'{"user_id":"\\ud83d","events":[%s]}',
        b'{"events":[%s]}',
        b'{"user_id":"u","events":[%s]}{}',
        b'{"user_id":"u","events":[%s],}',
        b'{"user_id":"u","context":7,"events":[%s]}',
        b'[{"user_id":"u","events":[%s]}]',
    ],
)
def test_where_the_batch_itself_cannot_be_read_the_record_is_one_letter(around: bytes) -> None:
    assert _parse(around % b",".join([_event("a"), b"NaN", _event("c")])) == ([], [-1])


def test_fields_that_nobody_reads_may_hold_anything() -> None:
    value = b'{"app":"\\ud83d","n":NaN,"x":[{"y":[1]}],"\\u0065vents":[' + _event("a") + b'],"user_id":"u"}'
    assert _parse(value) == ([(0, "a")], [])


def test_of_two_lists_of_events_the_last_one_counts() -> None:
    assert _parse(b'{"user_id":"u","events":[NaN],"events":[' + _event("a") + b",1]}") == ([(0, "a")], [1])


def test_more_events_than_a_batch_may_have_are_not_taken_apart() -> None:
    assert take_apart(b'{"user_id":"u","events":[' + b",".join([b"1"] * MAX_EVENTS) + b"]}") is not None
    assert take_apart(b'{"user_id":"u","events":[' + b",".join([b"1"] * (MAX_EVENTS + 1)) + b"]}") is None


@pytest.mark.parametrize(
    "unit",
    [
        b"[",
        b"{",
        b"}",
        b"},",
        b"} ",
        b"} ,{ ",
        b'"',
        b'"a',
        b'},{"',
        b",",
        b"1 ",
        b"\\",
        b" ",
        b'{"":0},',
        b'{"":0 1},',
        b'{"":"',
        b'\\"',
        b'"\\',
    ],
)
def test_the_worst_bytes_take_no_longer_than_stated(unit: bytes) -> None:
    value = b'{"user_id":"u","events":[' + unit * (262_000 // len(unit))
    started = time.process_time()
    _parse(value)
    _parse(value + b"]}")
    assert time.process_time() - started < 2 * 0.5, f"deeper than {MAX_DEPTH} is not followed"


def test_brackets_at_the_end_of_a_broken_event_are_not_the_end_of_the_list() -> None:
    broken = b'{"event_id": ' + b"[" * 500 + b"]" * 500 + b', "x": {"a": [[{}]]}}'
    for events in ([broken, b'{"event_id": "e2"}'], [b'{"event_id": "e1"}', broken]):
        pieces = take_apart(b'{"user_id": "u", "events": [' + b", ".join(events) + b"]}")
        assert pieces is not None
        assert pieces.events == events
