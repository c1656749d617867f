"""Which lines of a file go out, and what is said of the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from operators.ingest.arrivals import RawRecord
from operators.ingest.parse import Parser
from operators.ingest.scrub import Scrubber
from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from schemas.validity import EARLIEST_MS
from serving.errors import ContractError
from serving.jsonl import Line
from serving.sending import MAX_BAD_TOLD, READERS, Sent, event_batch, send_lines

NOW_MS = 1_700_000_000_000
GOOD, BAD = b"good", b"bad"


def take(line: bytes) -> bool:
    if line != GOOD:
        raise DecodeError(ReasonCode.MALFORMED, expected="JSON", got="bad", path="$")
    return False


def run(*values: bytes, skip_bad: bool = False) -> Sent:
    sent = Sent()
    lines = [Line(number, value) for number, value in enumerate(values, 1)]
    try:
        send_lines(take, lines, sent, source="x.jsonl", skip_bad=skip_bad, on_progress=lambda: None)
    except ContractError as error:
        assert not skip_bad
        assert str(error).startswith("expected JSON, got bad, at x.jsonl line 2 $; correct it, or leave bad lines out")
    return sent


def test_it_stops_at_the_first_bad_line_and_knows_which_it_was() -> None:
    sent = run(GOOD, BAD, GOOD)
    assert (sent.lines, sent.bad, sent.stopped_at) == (2, 0, 2)


def test_bad_lines_can_be_left_out_and_the_first_of_them_are_named() -> None:
    sent = run(GOOD, *[BAD] * (MAX_BAD_TOLD + 5), GOOD, skip_bad=True)
    assert (sent.lines, sent.bad, sent.stopped_at) == (MAX_BAD_TOLD + 7, MAX_BAD_TOLD + 5, None)
    assert sent.bad_lines[0] == "expected JSON, got bad, at x.jsonl line 2 $"
    assert len(sent.bad_lines) == MAX_BAD_TOLD


def test_a_line_that_is_too_long_is_a_bad_one() -> None:
    sent = Sent()
    send_lines(take, [Line(1, GOOD, True)], sent, source="x", skip_bad=True, on_progress=lambda: None)
    assert "a line of at most 8,388,608 bytes" in sent.bad_lines[0]


@pytest.mark.parametrize(
    ("kind", "line", "key"),
    [
        ("catalogue", b'{"video_id": "v-7", "title": "' + b"x" * 600 + b'", "language": "en-US"}', "v-7"),
        ("users", b'{"user_id": "42", "birth_year": 1990, "region": "de"}', "42"),
        ("history", b'{"user_id": "42", "watched": ["v-7"]}', "42"),
    ],
)
def test_records_are_keyed_by_their_id(kind: str, line: bytes, key: str) -> None:
    record = READERS[kind](line)
    assert record.key == key
    assert record.cut == (kind == "catalogue")


@pytest.mark.parametrize(
    ("kind", "line", "path"),
    [
        ("catalogue", b"{}", "$.video_id"),
        ("catalogue", b'{"video_id": 7}', "$.video_id"),
        ("catalogue", b'{"video_id": "v", "uploaded_ms": 1700000000}', "$.uploaded_ms"),
        ("catalogue", b'{"video_id": "a\\u0000"}', "$.video_id"),
        ("users", b'{"user_id": ""}', "$.user_id"),
        ("users", b'{"user_id": "\\ud83d"}', "$"),
        ("history", b'{"user_id": "42", "watched": "v-7"}', "$.watched"),
        ("history", b"[" * 100_000, "$"),
        ("history", b"\xff", "$"),
    ],
)
def test_a_line_that_does_not_fit_its_contract_is_refused_with_the_place(kind: str, line: bytes, path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        READERS[kind](line)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("changes", "reason", "path"),
    [
        ({}, None, ""),
        ({"value": "12.4"}, None, ""),
        ({"value": None, "completed": True}, None, ""),
        ({"timestamp": NOW_MS + 1_000}, None, ""),
        ({"value": None}, ReasonCode.INVALID_VALUE, "value"),
        ({"value": "1,5"}, ReasonCode.INVALID_VALUE, "value"),
        ({"value": -1}, ReasonCode.INVALID_VALUE, "value"),
        ({"value": 1e13}, ReasonCode.INVALID_VALUE, "value"),
        ({"timestamp": NOW_MS + 1_001}, ReasonCode.FUTURE_DATED, "timestamp"),
        ({"timestamp": NOW_MS // 1_000}, ReasonCode.IMPLAUSIBLE_TIME, "timestamp"),
        ({"interaction_type": "stare"}, ReasonCode.WRONG_TYPE, "interaction_type"),
    ],
)
def test_what_ingest_would_set_aside_is_refused_in_the_same_words(changes: dict[str, Any], reason: ReasonCode | None, path: str) -> None:
    good = {"event_id": "e", "video_id": "v", "interaction_type": "watch_time", "timestamp": NOW_MS, "value": 1.5}
    line = msgspec.json.encode({"user_id": "u", "events": [good, good | {"event_id": "f"} | changes]})
    parser = Parser(scrubber=Scrubber(key=b"k"), future_skew_ms=1_000)
    letters = parser.parse(RawRecord("telemetry.raw", 0, 0, NOW_MS, b"u", line)).letters
    if reason is None:
        assert len(event_batch(line, earliest_ms=EARLIEST_MS, latest_ms=NOW_MS + 1_000).events) == 2
        assert letters == []
        return
    with pytest.raises(DecodeError) as caught:
        event_batch(line, earliest_ms=EARLIEST_MS, latest_ms=NOW_MS + 1_000)
    error, (letter,) = caught.value, letters
    assert (error.reason, error.path) == (reason, f"$.events[1].{path}")
    assert (letter.reason, letter.expected, letter.got, letter.path) == (error.reason, error.expected, error.got, error.path)
