"""Requests of any bytes, read or refused."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import msgspec
import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.envelope import Envelope
from dataflows.reply_topics import ReplyTopics
from dataflows.request import MAX_REQUEST_BYTES, Asked, Refused, failed, read_request
from operators.cursor import cursor_after
from schemas import headers
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter
from schemas.feed import FeedRequest, FeedResponse, Level, RequestError

NOW_MS = 1_700_000_000_000
RESPONSES = "feed.responses"
SECRET = b"0123456789abcdef"


def message(value: bytes | None, *fields: tuple[str, bytes | None], stamp_ms: int = NOW_MS) -> Message:
    """A request record."""
    return Message(
        topic="feed.requests", partition=5, offset=18, key=b"k", value=value, headers=list(fields) or None, timestamp=(2, stamp_ms)
    )


def read(value: bytes | None, *fields: tuple[str, bytes | None]) -> Asked | Refused:
    """Read a request as a worker does."""
    replies = ReplyTopics(default=RESPONSES, listed=["mine", "our.*"], own=["catalog.items"], look=lambda: {RESPONSES: 8, "mine": 2})
    return read_request(Envelope.of(message(value, *fields)), future_skew_ms=1_000, secret=SECRET, replies=replies)


def error(value: bytes | None, *fields: tuple[str, bytes | None]) -> RequestError:
    """The error that a request is answered with."""
    one = read(value, *fields)
    assert isinstance(one, Refused)
    assert one.response.degradation_level is Level.ERROR
    assert one.response.error is not None
    return one.response.error


def body(**fields: Any) -> bytes:
    """A request that is right but for some fields."""
    return msgspec.json.encode({"user_id": "u", "request_id": "mine"} | fields)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (body(limit=1_000), ("wrong_type", "a whole number of at most 100", "1000", "$.limit", "ask for 1 to 100")),
        (b"{}", ("wrong_type", "the field user_id", "nothing", "$.user_id", 'send {"user_id": "..."}, 1 to 128 characters')),
        (body(shadow="yes"), ("wrong_type", "true or false", '"yes"', "$.shadow", "send true or false, or leave it out")),
        (
            body(cursor="c" * 129),
            (
                "wrong_type",
                "a text of at most 128 characters",
                '"' + "c" * 79 + "…",
                "$.cursor",
                "send the next_cursor of an answer to the same person, or leave it out",
            ),
        ),
        (
            body(context={"region": "r" * 257}),
            (
                "wrong_type",
                "a text of at most 256 characters",
                '"' + "r" * 79 + "…",
                "$.context.region",
                "send texts of at most 256 characters, or leave them out",
            ),
        ),
        (None, ("malformed", "JSON", "nothing", "$", 'send one JSON object in UTF-8, {"user_id": "..."} at least')),
        (
            body(ts_ms=1_700_000_000),
            (
                "implausible_time",
                "epoch milliseconds of at least 631152000000 (1990-01-01T00:00:00Z)",
                "1700000000, which looks like seconds",
                "$.ts_ms",
                "leave ts_ms out, or send epoch milliseconds of a clock that is right",
            ),
        ),
    ],
)
def test_an_error_names_what_was_expected_the_value_its_place_and_what_helps(value: bytes | None, expected: tuple[str, ...]) -> None:
    found = error(value)
    assert (found.code, found.expected, found.got, found.path, found.do) == expected


@pytest.mark.parametrize(
    ("name", "value", "code", "got"),
    [
        ("reply_topic", b"catalog.items", "invalid_value", "'catalog.items'"),
        ("kafka_replyTopic", b"our.replies", "invalid_value", "'our.replies'"),
        ("reply_topic", b"\xff\x00", "invalid_value", "2 bytes, 0xff00"),
        ("reply_partition", b"99", "invalid_value", "99"),
        ("reply_partition", b"-1", "invalid_value", "-1"),
        ("reply_partition", b"abc", "invalid_value", "'abc'"),
        ("reply_partition", b"", "invalid_value", "''"),
        ("kafka_replyPartition", struct.pack(">i", -1), "invalid_value", "-1"),
        ("kafka_replyPartition", struct.pack(">q", 5), "invalid_value", "8 bytes, 0x0000000000000005"),
        ("deadline_ms", b"soon", "invalid_value", "'soon'"),
        ("deadline_ms", b"1700000000", "implausible_time", "1700000000, which looks like seconds"),
        ("correlation_id", b"c" * 4_097, "oversized", "4097 bytes"),
    ],
)
def test_a_header_that_cannot_be_honoured_is_an_error_that_names_it(name: str, value: bytes, code: str, got: str) -> None:
    found = error(body(), (name, value))
    assert (found.code, found.got, found.path) == (code, got, f"header {name}")
    assert found.do
    assert "FeedRequest" not in found.do


def test_a_cursor_is_taken_from_the_person_whom_it_was_given_to_and_from_nobody_else() -> None:
    cursor = cursor_after(SECRET, "u", request_id="r", at_ms=NOW_MS)
    assert isinstance(read(body(cursor=cursor)), Asked)
    for value in (body(cursor=cursor, user_id="other"), body(cursor="MTcwMDAw"), body(cursor=""), body(cursor="é")):
        found = error(value)
        assert (found.code, found.path) == ("invalid_value", "$.cursor")
        assert found.do == "send the next_cursor of an answer to the same person, or leave it out"


def test_too_many_headers_are_refused_and_other_peoples_headers_are_not() -> None:
    assert isinstance(read(body(), *((f"x{i}", b"y") for i in range(headers.MAX_HEADERS))), Asked)
    found = error(body(), *((f"x{i}", b"y") for i in range(headers.MAX_HEADERS + 1)))
    assert (found.code, found.path, found.got) == ("oversized", "headers", "65 headers")


def test_a_header_whose_name_is_no_utf_8_is_refused_and_ends_nothing() -> None:
    class Unreadable:
        """As the client library is: it fails, and a second look would be at a null pointer."""

        def headers(self) -> list[tuple[str, bytes]]:
            text = "returned a result with an exception set"
            raise SystemError(text)

    assert headers.pairs(Unreadable()) is None


def test_the_request_is_named_by_its_own_id_or_its_place_and_never_by_its_correlation_id() -> None:
    binary = ("kafka_correlationId", b"p\xff9\xffPw\x00\n" * 2)
    for value, named in ((body(limit=0), "mine"), (b"{", "feed.requests-5-18"), (body(limit=0, request_id="a\nb"), "feed.requests-5-18")):
        one = read(value, binary)
        assert isinstance(one, Refused)
        assert one.response.request_id == named
        back = dict(one.envelope.reply_headers(one.response))
        assert back[headers.CE_ID] == named.encode()
        assert back["kafka_correlationId"] == back["correlation_id"] == binary[1]


@pytest.mark.parametrize("order", [1, -1])
def test_an_alias_never_overwrites_in_whatever_order_they_come(order: int) -> None:
    ours = [("correlation_id", b"mine"), ("reply_topic", b"mine"), ("reply_partition", b"1")]
    theirs = [("kafka_correlationId", b"theirs"), ("kafka_replyTopic", RESPONSES.encode()), ("kafka_replyPartition", b"\0\0\0\7")]
    envelope = Envelope.of(message(body(), *[*ours, *theirs][::order]))
    replies = ReplyTopics(default=RESPONSES, listed=["mine"], own=[], look=lambda: {RESPONSES: 8, "mine": 2})
    assert replies.destination(envelope, "r") == ("mine", 1)
    one = read(body(limit=0))
    assert isinstance(one, Refused)
    back = dict(envelope.reply_headers(one.response))
    assert (back["correlation_id"], back["kafka_correlationId"]) == (b"mine", b"theirs")


def test_the_last_of_several_headers_with_one_name_counts_and_a_null_one_was_not_sent() -> None:
    fields = Envelope.of(message(body(), ("reply_partition", b"1"), ("reply_partition", b"2"), ("reply_partition", None))).fields
    assert fields == {"reply_partition": b"2"}


def test_a_stamp_that_no_broker_gave_is_the_present() -> None:
    for stamp_ms in (-1, 2**62):
        assert abs(Envelope.of(message(body(), stamp_ms=stamp_ms)).stamp_ms - time.time() * 1_000) < 60_000


def test_the_error_of_a_failed_answer_is_bounded() -> None:
    one = failed(Envelope.of(message(body())), ValueError("x" * 1_000_000))
    assert len(encode(one.response)) < 4_096


def _lenient(fields: object) -> bytes:
    """JSON as other people's encoders write it: lone surrogates, NaN and whole numbers of any size."""
    return json.dumps(fields).encode()


_texts = st.one_of(st.text(max_size=300), st.sampled_from(["\ud800", "a\nb", "\0", "視" * 128, ""]))
_plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts)
_json = st.recursive(_plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4))
_names = st.sampled_from(["user_id", "request_id", "device_id", "limit", "ts_ms", "cursor", "context", "shadow", "more"])
_numbers = st.integers(min_value=-(2**70), max_value=2**70)
_bodies = st.one_of(
    st.none(),
    st.binary(max_size=400),
    st.binary(min_size=1, max_size=40).map(lambda some: some * 4_000),
    st.dictionaries(_names, st.one_of(_json, _numbers), max_size=9).map(_lenient),
    st.fixed_dictionaries({"user_id": _texts}, optional={"limit": _numbers, "ts_ms": _numbers, "cursor": _texts}).map(_lenient),
)
_header_names = st.one_of(st.sampled_from(sorted(headers.KNOWN)), st.text(max_size=9))
_values = st.one_of(st.none(), st.binary(max_size=40), st.integers().map(lambda n: str(n).encode()), st.just(b"c" * 5_000))


@settings(max_examples=600, deadline=None)
@given(value=_bodies, fields=st.lists(st.tuples(_header_names, _values), max_size=8), stamp_ms=st.integers(-1, 2**63 - 1))
def test_any_bytes_are_read_or_refused_by_an_answer_and_a_letter_that_fit(
    value: bytes | None, fields: list[tuple[str, bytes | None]], stamp_ms: int
) -> None:
    replies = ReplyTopics(default=RESPONSES, listed=["our.*"], own=[], look=lambda: {RESPONSES: 8})
    envelope = Envelope.of(message(value, *fields, stamp_ms=stamp_ms))
    one = read_request(envelope, future_skew_ms=1_000, secret=SECRET, replies=replies)
    assert envelope.overdue_ms(NOW_MS) >= 0
    if isinstance(one, Asked):
        assert decode(FeedRequest, encode(one.request)) == one.request
        return
    response, letter = encode(one.response), encode(one.letter)
    assert decode(FeedResponse, response) == one.response
    assert decode(DeadLetter, letter) == one.letter
    assert len(response) + sum(len(name) + len(text) for name, text in envelope.reply_headers(one.response)) <= MAX_REQUEST_BYTES
    assert len(letter) <= 2 * MAX_REQUEST_BYTES
    topic, partition = replies.destination(envelope, one.response.request_id)
    assert topic == RESPONSES
    assert 0 <= partition < 8
