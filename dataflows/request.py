"""Reads a request off its topic, or makes the answer and the dead letter that say why it cannot be taken."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from dataflows.envelope import Envelope
from dataflows.reply_topics import ReplyTopics
from operators.cursor import read_cursor
from schemas.codec import DecodeError, decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.feed import MAX_LIMIT, FeedRequest, FeedResponse, Level, RequestError
from schemas.headers import MAX_HEADERS
from schemas.telemetry import Id
from schemas.validity import dated, plausible

MAX_REQUEST_BYTES = 65_536
MAX_TEXT = 1_000
"""Characters of each text of an error."""

_ADVICE = {
    "$.user_id": 'send {"user_id": "..."}, 1 to 128 characters',
    "$.request_id": "send 1 to 128 characters, or leave it out",
    "$.device_id": "send 1 to 128 characters, or leave it out",
    "$.limit": f"ask for 1 to {MAX_LIMIT}",
    "$.ts_ms": "leave ts_ms out, or send epoch milliseconds of a clock that is right",
    "$.cursor": "send the next_cursor of an answer to the same person, or leave it out",
    "$.shadow": "send true or false, or leave it out",
    "header reply_topic": "set PENSTOCK_REPLY_TOPICS to allow it and make the topic, or leave it out and read feed.responses",
    "header reply_partition": "send a partition that exists, or leave it out",
    "header deadline_ms": "send epoch milliseconds, or leave it out",
    "header correlation_id": "send a shorter one",
    "headers": f"send at most {MAX_HEADERS} headers, their names in UTF-8",
}
_ALIASES = {
    "header kafka_replyTopic": "header reply_topic",
    "header kafka_replyPartition": "header reply_partition",
    "header kafka_correlationId": "header correlation_id",
}
_NO_JSON = 'send one JSON object in UTF-8, {"user_id": "..."} at least'
_TOO_LARGE = "send what a FeedRequest needs and no more"
_OUR_FAULT = "send the dead letter to those who run the system"
_OF_CONTEXT = "send texts of at most 256 characters, or leave them out"

_id_decoder = msgspec.json.Decoder(Id)


class _Names(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw()
    request_id: msgspec.Raw = msgspec.Raw()


_names_decoder = msgspec.json.Decoder(_Names)


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


def read_request(
    envelope: Envelope,
    *,
    future_skew_ms: int,
    secret: bytes | None = None,
    replies: ReplyTopics | None = None,
) -> Asked | Refused:
    """Read a request, or say why it cannot be taken; never raises.

    Parameters
    ----------
    future_skew_ms
        A "now" that lies further past the broker's stamp than this is refused.
    secret
        The key of cursors; None looks at none, as where a request is read again that was answered.
    replies
        Where answers may go; None looks at no header.
    """
    try:
        if replies is not None:
            envelope.check()
            replies.check(envelope)
        asked = _asked(envelope, future_skew_ms)
        if secret is not None and asked.request.cursor is not None:
            read_cursor(secret, asked.request.user_id, asked.request.cursor)
    except DecodeError as error:
        return refused(envelope, error)
    return asked


def failed(envelope: Envelope, error: Exception) -> Refused:
    """Return what is sent for a request that was right, but whose answer failed."""
    got = f"{type(error).__name__}: {error}"
    return refused(envelope, DecodeError(ReasonCode.INTERNAL, expected="an answer", got=got, path="$"))


def refused(envelope: Envelope, error: DecodeError) -> Refused:
    """Return what is sent for a request that cannot be taken; user and request are named as far as they can be told."""
    expected, got, path = (_bounded(text) for text in (error.expected, error.got, error.path))
    user_id, request_id = _names(envelope)
    response = FeedResponse(
        request_id=request_id or envelope.name,
        user_id=user_id,
        now_ms=envelope.stamp_ms,
        items=[],
        degradation_level=Level.ERROR,
        error=RequestError(code=error.reason.value, expected=expected, got=got, path=path, do=_advice(error)),
    )
    letter = DeadLetter(
        reason=error.reason,
        expected=expected,
        got=got,
        path=path,
        topic=envelope.topic,
        partition=envelope.partition,
        offset=envelope.offset,
        attempt=envelope.attempt,
        at_ms=envelope.stamp_ms,
        key=envelope.key,
        raw=envelope.value[:MAX_REQUEST_BYTES],
        raw_size=len(envelope.value) if len(envelope.value) > MAX_REQUEST_BYTES else None,
    )
    return Refused(envelope=envelope, response=response, letter=letter)


def _asked(envelope: Envelope, future_skew_ms: int) -> Asked:
    if len(envelope.value) > MAX_REQUEST_BYTES:
        expected = f"at most {MAX_REQUEST_BYTES} bytes"
        raise DecodeError(ReasonCode.OVERSIZED, expected=expected, got=f"{len(envelope.value)} bytes", path="$")
    request = decode(FeedRequest, envelope.value)
    now_ms = envelope.stamp_ms
    if request.ts_ms is not None:
        now_ms, latest_ms = request.ts_ms, envelope.stamp_ms + future_skew_ms
        plausible(now_ms, path="$.ts_ms")
        if now_ms > latest_ms:
            expected = f"epoch milliseconds of at most {dated(latest_ms)}"
            raise DecodeError(ReasonCode.FUTURE_DATED, expected=expected, got=dated(now_ms), path="$.ts_ms")
    return Asked(envelope=envelope, request=request, request_id=request.request_id or envelope.name, now_ms=now_ms)


def _advice(error: DecodeError) -> str:
    if error.reason is ReasonCode.INTERNAL:
        return _OUR_FAULT
    if error.path.startswith("$.context"):
        return _OF_CONTEXT
    path = _ALIASES.get(error.path, error.path)
    return _ADVICE.get(path, _TOO_LARGE if error.reason is ReasonCode.OVERSIZED else _NO_JSON)


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _names(envelope: Envelope) -> tuple[str, str]:
    """Return the ids of user and request, empty where they cannot be told; the body is looked at no further than that."""
    if len(envelope.value) > MAX_REQUEST_BYTES:
        return "", ""
    try:
        found = _names_decoder.decode(envelope.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    return _id_of(found.user_id), _id_of(found.request_id)


def _id_of(raw: msgspec.Raw) -> str:
    try:
        return _id_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
