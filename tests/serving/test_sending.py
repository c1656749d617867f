"""Which lines of a file go out, and what is said of the others."""

from __future__ import annotations

import pytest

from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from serving.errors import ContractError
from serving.jsonl import Line
from serving.sending import MAX_BAD_TOLD, READERS, Sent, send_lines

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
