"""A record of `feed.requests` and its headers: who asks for what, until when, and where the answer goes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from confluent_kafka import Message

from schemas import headers
from schemas.codec import DecodeError, decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.feed import FeedRequest, FeedResponse, Level, RequestError
from schemas.partition import partition_for

MAX_REQUEST_BYTES = 65_536
MAX_ECHO_BYTES = 4_096
_ALIASES = headers.SPRING_ALIASES
_ECHOED = (headers.CORRELATION_ID, headers.SPRING_CORRELATION_ID, headers.ATTEMPT, headers.TRACEPARENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A request record as it came.

    Parameters
    ----------
    topic, partition, offset
        Where it stands; with no request id in it, that is its name.
    key, value
        As produced; a null value is no request.
    stamp_ms
        The broker's stamp, epoch milliseconds: the "now" of a request that names none.
    fields
        Headers by the names that they came with, and aliases by ours too.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    stamp_ms: int
    fields: Mapping[str, bytes]

    @classmethod
    def of(cls, message: Message) -> Envelope:
        """Return the envelope of a message."""
        fields: dict[str, bytes] = {}
        for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or []):
            fields[name] = value or b""
            if name in _ALIASES:
                fields[_ALIASES[name]] = value or b""
        return cls(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value() or b"",
            stamp_ms=message.timestamp()[1],
            fields=fields,
        )

    @property
    def name(self) -> str:
        """The request's name where it brought none."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def attempt(self) -> int:
        """Which attempt of the client this is, 1 for the first."""
        return headers.whole(self.fields.get(headers.ATTEMPT), default=1)

    def expired(self, now_ms: int) -> bool:
        """Return whether nobody waits for the answer any more."""
        deadline = self.fields.get(headers.DEADLINE_MS)
        return deadline is not None and 0 < headers.whole(deadline, default=0) < now_ms

    def reply_partition(self, request_id: str, partitions: int) -> int:
        """Return the partition of the answer: the one asked for if there is such a one, else by the request's id."""
        asked = self.fields.get(headers.REPLY_PARTITION)
        if asked is not None:
            partition = struct.unpack(">i", asked)[0] if _is_spring(asked) else headers.whole(asked, default=-1)
            if 0 <= partition < partitions:
                return int(partition)
        return partition_for(request_id.encode(), partitions)

    def reply_headers(self, response: FeedResponse) -> list[tuple[str, bytes]]:
        """Return the headers of an answer: what identifies the request, echoed unless too large, and what it is."""
        echoed = [(name, value) for name in _ECHOED if (value := self.fields.get(name)) is not None and len(value) <= MAX_ECHO_BYTES]
        if headers.CORRELATION_ID not in dict(echoed):
            echoed.append((headers.CORRELATION_ID, response.request_id.encode()))
        return [
            *echoed,
            (headers.CE_ID, response.request_id.encode()),
            (headers.CE_TYPE, f"{FeedResponse.TYPE}.v{FeedResponse.VERSION}".encode()),
            (headers.CE_TIME, datetime.fromtimestamp(response.now_ms / 1_000, UTC).isoformat(timespec="milliseconds").encode()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that can be answered."""

    envelope: Envelope
    request: FeedRequest
    request_id: str
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request that cannot be taken: an answer that says why, and the dead letter."""

    envelope: Envelope
    response: FeedResponse
    letter: DeadLetter


def read_request(envelope: Envelope, *, future_skew_ms: int) -> Asked | Refused:
    """Read a request, or say why it cannot be taken.

    Parameters
    ----------
    future_skew_ms
        A "now" that lies further past the broker's stamp than this is refused.
    """
    if len(envelope.value) > MAX_REQUEST_BYTES:
        what = f"at most {MAX_REQUEST_BYTES} bytes", f"{len(envelope.value)}", "$"
        return refused(envelope, ReasonCode.OVERSIZED, *what, "send what a FeedRequest needs and no more")
    try:
        request = decode(FeedRequest, envelope.value)
    except DecodeError as error:
        return refused(envelope, error.reason, error.expected, error.got, error.path, 'send at least {"user_id": "..."}')
    now_ms = envelope.stamp_ms if request.ts_ms is None else request.ts_ms
    if now_ms > envelope.stamp_ms + future_skew_ms:
        what = f"at most {envelope.stamp_ms + future_skew_ms}", str(now_ms), "$.ts_ms"
        return refused(envelope, ReasonCode.FUTURE_DATED, *what, "leave ts_ms out, or set the clock")
    return Asked(envelope=envelope, request=request, request_id=request.request_id or envelope.name, now_ms=now_ms)


def refused(envelope: Envelope, reason: ReasonCode, expected: str, got: str, path: str, do: str) -> Refused:  # noqa: PLR0917
    """Return what is sent for a request that cannot be taken; user and request are named as far as they can be told."""
    user_id, request_id = _names(envelope)
    response = FeedResponse(
        request_id=request_id,
        user_id=user_id,
        now_ms=envelope.stamp_ms,
        items=[],
        degradation_level=Level.FULL,
        error=RequestError(code=reason.value, expected=expected, got=got, path=path, do=do),
    )
    letter = DeadLetter(
        reason=reason,
        expected=expected,
        got=got,
        path=path,
        topic=envelope.topic,
        partition=envelope.partition,
        offset=envelope.offset,
        attempt=envelope.attempt,
        at_ms=envelope.stamp_ms,
        key=envelope.key,
        raw=envelope.value,
    )
    return Refused(envelope=envelope, response=response, letter=letter)


def _names(envelope: Envelope) -> tuple[str, str]:
    found: dict[str, Any] = {}
    try:
        value = msgspec.json.decode(envelope.value[:MAX_REQUEST_BYTES])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if isinstance(value, dict):
        found = value
    correlation = envelope.fields.get(headers.CORRELATION_ID, b"").decode(errors="replace")
    user_id, request_id = found.get("user_id"), found.get("request_id")
    named = request_id if isinstance(request_id, str) and 0 < len(request_id) <= 128 else correlation[:128]
    return user_id if isinstance(user_id, str) else "", named or envelope.name


def _is_spring(asked: bytes) -> bool:
    return len(asked) == 4 and not asked.isdigit()
