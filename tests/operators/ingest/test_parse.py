"""Parsing of raw records: what is right goes on, what is wrong is named."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ingest.admit import Admission
from operators.ingest.arrivals import Parsed, RawRecord, Upsert
from operators.ingest.parse import MAX_VALUE, Parser
from operators.ingest.scrub import Scrubber
from operators.interactions import MAX_WATCH_MS
from schemas.codec import encode
from schemas.dlq import LARGEST_LETTER, ReasonCode
from schemas.telemetry import Context, Event
from schemas.topics import load_topics
from schemas.validity import catalog_item

BROKER_DEFAULT = 1_048_588
"""What a topic takes that says nothing of it."""

NOW = 1_700_000_000_000
PARSER = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=300_000, max_bytes=50_000)


def _event(**changed: Any) -> dict[str, Any]:
    return {"event_id": "e", "video_id": "v", "interaction_type": "watch_time", "timestamp": NOW, "value": 1.5} | changed


def _parse(value: Any) -> Parsed:
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return PARSER.parse(RawRecord("telemetry.raw", 1, 2, NOW, b"u", data))


def _batch(*events: Any, **changed: Any) -> dict[str, Any]:
    return {"user_id": "u", "events": list(events)} | changed


def test_one_bad_event_is_set_aside_alone_with_its_path() -> None:
    parsed = _parse(_batch(_event(event_id="a"), _event(event_id="b", timestamp="soon"), _event(event_id="c")))
    assert [(one.place, one.event.event_id) for one in parsed.candidates] == [(0, "a"), (2, "c")]
    [letter] = parsed.letters
    assert (letter.reason, letter.path, letter.event_id) == (ReasonCode.WRONG_TYPE, "$.events[1].timestamp", "b")
    assert (letter.expected, letter.got) == ("a whole number", '"soon"')
    assert letter.letter_id == "telemetry.raw/1/2/1"


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        (b"", ReasonCode.MALFORMED, "$"),
        (b"{", ReasonCode.MALFORMED, "$"),
        (b"\xff\xfe", ReasonCode.MALFORMED, "$"),
        (b"[]", ReasonCode.WRONG_TYPE, "$"),
        (b"[" * 20_000, ReasonCode.WRONG_TYPE, "$"),
        (b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", ReasonCode.MALFORMED, "$"),
        ({"events": [_event()]}, ReasonCode.WRONG_TYPE, "$.user_id"),
        (_batch(), ReasonCode.WRONG_TYPE, "$.events"),
        (_batch(_event(), user_id=7), ReasonCode.WRONG_TYPE, "$.user_id"),
        (_batch(_event(), user_id=""), ReasonCode.WRONG_TYPE, "$.user_id"),
        (_batch(_event(), device_id=[1]), ReasonCode.WRONG_TYPE, "$.device_id"),
        (_batch(*[_event()] * 1_001), ReasonCode.OVERSIZED, "$"),
        ({"user_id": "u", "events": [_event(video_id="v" * 60_000)]}, ReasonCode.OVERSIZED, "$"),
    ],
)
def test_a_record_that_is_no_batch_is_set_aside_whole(value: Any, reason: ReasonCode, path: str) -> None:
    parsed = _parse(value)
    assert parsed.candidates == []
    [letter] = parsed.letters
    assert (letter.reason, letter.path, letter.event_index) == (reason, path, -1)
    assert letter.raw == (value if isinstance(value, bytes) else msgspec.json.encode(value))


def test_a_tombstone_is_set_aside() -> None:
    [letter] = PARSER.parse(RawRecord("telemetry.raw", 0, 0, NOW, None, None)).letters
    assert (letter.reason, letter.got) == (ReasonCode.MALFORMED, "no value")


def test_a_value_may_come_as_text() -> None:
    assert [one.value for one in _parse(_batch(_event(value="12.4"), _event(value=3), _event(value=None, completed=True))).candidates] == [
        12.4,
        3.0,
        None,
    ]


@pytest.mark.parametrize(
    "value",
    ["long", "", "nan", "inf", "-1", -0.5, 1e13, "1e307", "1_000", "\u0661\u0662", "1,5", "0x10", " 1", "+1", ".5", "1.", "01", "1e400"],
)
def test_a_value_that_cannot_be_is_set_aside(value: Any) -> None:
    [letter] = _parse(_batch(_event(value=value))).letters
    assert (letter.reason, letter.path) == (ReasonCode.INVALID_VALUE, "$.events[0].value")


def test_an_event_from_the_future_is_set_aside_and_one_within_the_skew_is_not() -> None:
    parsed = _parse(_batch(_event(timestamp=NOW + 300_000), _event(timestamp=NOW + 300_001)))
    assert len(parsed.candidates) == 1
    assert [(letter.reason, letter.event_index) for letter in parsed.letters] == [(ReasonCode.FUTURE_DATED, 1)]
    assert parsed.letters[0].expected == "epoch milliseconds of at most 1700000300000 (2023-11-14T22:18:20Z)"
    assert parsed.letters[0].got == "1700000300001 (2023-11-14T22:18:20Z)"


@pytest.mark.parametrize("text", ["0", "-0.0", "-0", "0e5", -0.0, 0])
def test_zero_has_one_form(text: Any) -> None:
    [one] = _parse(_batch(_event(value=text))).candidates
    assert str(one.value) == "0.0"


def test_a_watch_time_says_how_long_or_whether_to_the_end() -> None:
    parsed = _parse(_batch(_event(value=None), _event(value=None, completed=False), _event(value=None, interaction_type="like")))
    assert [one.place for one in parsed.candidates] == [1, 2]
    [letter] = parsed.letters
    assert (letter.reason, letter.path, letter.got) == (ReasonCode.INVALID_VALUE, "$.events[0].value", "neither")


@pytest.mark.parametrize(
    ("timestamp", "unit"), [(NOW // 1000, "seconds"), (NOW * 1000, "microseconds"), (NOW * 10**6, "nanoseconds"), (0, None), (10**14, None)]
)
def test_a_time_in_another_unit_is_named_as_that(timestamp: int, unit: str | None) -> None:
    [letter] = _parse(_batch(_event(timestamp=timestamp))).letters
    assert (letter.reason, letter.path) == (ReasonCode.IMPLAUSIBLE_TIME, "$.events[0].timestamp")
    assert letter.got == (f"{timestamp}, which looks like {unit}" if unit else str(timestamp))


def test_the_earliest_time_is_a_setting() -> None:
    parser = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=0, earliest_ms=NOW)
    value = msgspec.json.encode(_batch(_event(timestamp=NOW), _event(timestamp=NOW - 1)))
    parsed = parser.parse(RawRecord("telemetry.raw", 1, 2, NOW, b"u", value))
    assert ([one.place for one in parsed.candidates], [one.event_index for one in parsed.letters]) == ([0], [1])


def test_the_context_of_the_batch_fills_what_that_of_an_event_leaves_open() -> None:
    shared = {"surface": "home", "region": "us-ca", "language": "EN-gb", "device": ""}
    events = [_event(), _event(context={"region": "de", "surface": ""}), _event(context={"session_id": "s", "language": "pt_BR"})]
    found = [one.event.context for one in _parse(_batch(*events, context=shared)).candidates]
    assert found == [
        Context(surface="home", region="US", language="en"),
        Context(surface="home", region="DE", language="en"),
        Context(surface="home", region="US", language="pt", session_id="s"),
    ]


def test_of_a_context_only_what_is_too_long_or_personal_is_left_out_and_the_event_stays() -> None:
    long = {"surface": "x" * 257, "region": "DE"}
    parsed = _parse(
        _batch(_event(context=long), _event(context={"region": "ann@example.org"}), context={"device": "y" * 300, "language": "de"})
    )
    assert (parsed.letters, parsed.cut) == ([], 3)
    assert [one.event.context for one in parsed.candidates] == [Context(region="DE", language="de"), Context(language="de")]


def test_a_region_of_two_lines_is_left_out_for_it_names_a_list_of_trending_videos() -> None:
    parsed = _parse(_batch(_event(context={"region": "d\ne", "language": "d\x00", "surface": "s"})))
    assert ([one.event.context for one in parsed.candidates], parsed.cut) == ([Context(surface="s")], 2)


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert len(_parse(_batch(_event(mood="fine"), app="x")).candidates) == 1


def test_devices_become_pseudonyms_and_personal_strings_are_redacted() -> None:
    context = {"session_id": "call +49 170 1234567", "region": "DE", "device": "10.1.2.3", "language": "ann@example.org"}
    [one] = _parse(_batch(_event(context=context), device_id="phone-1")).candidates
    assert one.device_id is not None and "phone" not in one.device_id
    assert msgspec.to_builtins(one.event.context) == {
        "session_id": "call [redacted]",
        "region": "DE",
        "device": "[redacted]",
    }


@pytest.mark.parametrize("text", ["a" * 240_000, "(1-" * 80_000, "1 " * 120_000, "a@" * 120_000, "a:" * 120_000, "1." * 120_000])
def test_a_long_text_is_scrubbed_in_no_time_and_not_remembered(text: str) -> None:
    parser = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=0)
    value = msgspec.json.encode(_batch(_event(context={"surface": text, "region": "DE"})))
    started = time.process_time()
    parsed = parser.parse(RawRecord("telemetry.raw", 1, 2, NOW, b"u", value))
    assert time.process_time() - started < 0.5
    assert ([one.event.context for one in parsed.candidates], parsed.cut) == ([Context(region="DE")], 1)
    assert parser.scrubber._context.cache_info().currsize == 0


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_nothing_that_comes_in_raises_and_nothing_is_lost(value: Any) -> None:
    parsed = _parse(_batch(_event(), value)) if not isinstance(value, bytes) else _parse(value)
    assert len(parsed.candidates) + len(parsed.letters) == (
        1 if isinstance(value, bytes) or parsed.letters and parsed.letters[0].event_index < 0 else 2
    )


@pytest.mark.parametrize("place", ["x", "user_id", "event", "value", "events"])
def test_json_that_is_nested_too_deep_is_set_aside_wherever_it_stands(place: str) -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    event = msgspec.json.encode(_event(value={}))
    values = {
        "x": b'{"user_id":1,"x":' + deep + b"}",
        "user_id": b'{"user_id":' + deep + b"}",
        "event": b'{"user_id":"u","events":[{"event_id":' + deep + b"}]}",
        "value": b'{"user_id":"u","events":[' + event[:-1] + b',"x":' + deep + b"}]}",
        "events": b'{"user_id":"u","events":' + deep + b"}",
    }
    parsed = _parse(values[place])
    assert parsed.candidates == []
    assert {letter.reason for letter in parsed.letters} <= {ReasonCode.MALFORMED, ReasonCode.WRONG_TYPE}
    assert len(parsed.letters) == 1


def test_a_large_record_of_bad_events_is_not_copied_for_each_of_them() -> None:
    bad = _event(timestamp="soon", note="x" * 1_500)
    parsed = _parse(_batch(*[bad] * 30))
    assert len(parsed.letters) == 30, "45 kB thirty times are no harm"
    many = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=0).parse(
        RawRecord("telemetry.raw", 1, 2, NOW, b"u", msgspec.json.encode(_batch(_event(timestamp=NOW), *[bad] * 150)))
    )
    assert len(many.candidates) == 1
    [letter] = many.letters
    assert (letter.reason, letter.event_index, letter.path) == (ReasonCode.WRONG_TYPE, -1, "$.events[1].timestamp")
    assert letter.got.startswith("150 that cannot be taken")


def test_the_largest_raw_record_makes_a_letter_that_its_topic_takes_whole() -> None:
    topics = load_topics()
    largest = topics["telemetry.raw"].max_message_bytes or BROKER_DEFAULT
    for value, key in ((b"\xff" * largest, b"u"), (b"{" * 1_000, b"k" * largest)):
        letters = PARSER.parse(RawRecord("telemetry.raw", 1, 2, NOW, key, value)).letters
        assert [(one.raw, one.key) for one in letters] == [(value, key)]
        assert sum(len(encode(one)) for one in letters) < (topics["telemetry.dlq"].max_message_bytes or 0) <= LARGEST_LETTER


@pytest.mark.parametrize("note", ["x", "\u0000", "\U0001f600"])
def test_no_event_within_its_bounds_is_too_large_for_its_topic(note: str) -> None:
    text = note * 64
    fields = {"event_id": "e" * 128, "video_id": "v" * 128, "context": dict.fromkeys(Context.__struct_fields__, text), "value": "1" * 12}
    item = {"video_id": "v" * 128, "creator_id": "c" * 128, "category": "k" * 128, "tags": [f"{n:03}" + note * 125 for n in range(200)]}
    upsert = Upsert("v" * 128, catalog_item(b"v" * 128, msgspec.json.encode(item)).item)
    parsed = _parse(_batch(_event(**fields, tracking_token="\U0001f600" * 1_024), user_id="u" * 128, device_id="d" * 128))
    [event] = Admission().on_batch([upsert, parsed])
    assert isinstance(event, Event)
    assert len(encode(event)) < BROKER_DEFAULT // 10


def test_the_contracts_name_the_largest_value() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "contracts.md").read_text(encoding="utf-8")
    assert f"a plain decimal number of 0 to {MAX_VALUE:,.0f} as JSON" in text
    assert f"More than a day ({MAX_WATCH_MS // 1_000:,}) is taken as a day" in text
    at_bound = [one.value for one in _parse(_batch(_event(value=MAX_VALUE), _event(value=MAX_VALUE * 1.001))).candidates]
    assert at_bound == [MAX_VALUE]
