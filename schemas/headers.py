"""Kafka header names: request-reply, CloudEvents, W3C trace context; and the rules that headers of a request follow.

A header without a value counts as not sent. Of several with one name the last counts. An alias counts only where our own name was not
sent, whatever their order.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

CORRELATION_ID = "correlation_id"
REPLY_TOPIC = "reply_topic"
REPLY_PARTITION = "reply_partition"
DEADLINE_MS = "deadline_ms"
ATTEMPT = "attempt"
ORIGIN_LETTER = "origin_letter"
"""Id of the dead letter that a record was sent again from."""

# Spring Kafka's ReplyingKafkaTemplate sends these; its reply partition is a 4-byte big-endian integer.
SPRING_CORRELATION_ID = "kafka_correlationId"
_ALIASES = {
    CORRELATION_ID: SPRING_CORRELATION_ID,
    REPLY_TOPIC: "kafka_replyTopic",
    REPLY_PARTITION: "kafka_replyPartition",
}

CE_ID = "ce_id"
CE_TYPE = "ce_type"
CE_TIME = "ce_time"
TRACEPARENT = "traceparent"

# Of a dead letter: why it was set aside, and where it came from.
DLQ_REASON = "dlq_reason"
DLQ_TOPIC = "dlq_topic"
DLQ_PARTITION = "dlq_partition"
DLQ_OFFSET = "dlq_offset"
DLQ_EVENT_INDEX = "dlq_event_index"
DLQ_ATTEMPT = "dlq_attempt"
KNOWN = frozenset({CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION, DEADLINE_MS, ATTEMPT, TRACEPARENT, *_ALIASES.values()})
"""The headers of a request that mean something; all others are passed over."""

MAX_HEADERS = 64
MAX_ECHO_BYTES = 4_096
"""Bytes of a header's value that are sent back at most."""

_MOST_DIGITS = 18
_SHOWN_BYTES = 48


class Sent(NamedTuple):
    """A header as it was sent: the name that it came under, and its value."""

    name: str
    value: bytes


class HasHeaders(Protocol):
    """A Kafka message."""

    def headers(self) -> Any:
        """Return pairs of name and value."""


def pairs(message: HasHeaders) -> list[tuple[str, bytes | None]] | None:
    """Return the headers of a message in their order; None where a name is no UTF-8, which the client library cannot give out."""
    try:
        return list(message.headers() or ())
    except (SystemError, UnicodeDecodeError):
        return None


def sent(fields: Mapping[str, bytes], name: str) -> Sent | None:
    """Return a header under our own name, else under its alias; None where neither was sent.

    >>> sent({"kafka_replyTopic": b"theirs", "reply_topic": b"mine"}, "reply_topic")
    Sent(name='reply_topic', value=b'mine')
    """
    for known in (name, _ALIASES.get(name, name)):
        if known in fields:
            return Sent(known, fields[known])
    return None


def whole(text: bytes | None, *, default: int) -> int:
    """Return the whole number that a header holds; the default where it holds none, or none that fits 64 bits.

    >>> whole(b"3", default=1), whole(b"-3", default=1), whole(b"9" * 5_000, default=1), whole(None, default=1)
    (3, 1, 1, 1)
    """
    return int(text) if text is not None and text.isdigit() and len(text) <= _MOST_DIGITS else default


def shown(value: bytes) -> str:
    r"""Return a header's value for people: a text as it is, other bytes in hexadecimal, cut after 48 bytes.

    >>> shown(b"abc"), shown(b"\x00\x01"), shown("xä".encode() * 20)
    ("'abc'", '2 bytes, 0x0001', "'xäxäxäxäxäxäxäxäxäxäxäxäxäxäxäxä'…")
    >>> shown(b"x" + "ä".encode() * 40)
    "'xäääääääääääääääääääääää'…"
    """
    head, more = value[:_SHOWN_BYTES], "…" if len(value) > _SHOWN_BYTES else ""
    try:
        text, _ = utf_8_decode(head, "strict", not more)
    except UnicodeDecodeError:
        text = "\x00"
    return f"{text!r}{more}" if text.isprintable() else f"{len(value)} bytes, 0x{head.hex()}{more}"
