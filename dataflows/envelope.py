"""A record of `feed.requests` as it came, its headers, and the headers of its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Message

from schemas import headers
from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from schemas.feed import FeedResponse
from schemas.validity import EARLIEST_MS, LATEST_MS, plausible

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
        The headers that mean something, under the names that they came with, as bytes.
    fault
        What is wrong with the headers as a whole.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    stamp_ms: int
    fields: Mapping[str, bytes]
    fault: DecodeError | None = None

    @classmethod
    def of(cls, message: Message) -> Envelope:
        """Return the envelope of a message; a stamp that is none, as a topic without the broker's own may have, is read as the present."""
        pairs, fault = _pairs(message)
        stamp_ms = message.timestamp()[1]
        return cls(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value() or b"",
            stamp_ms=stamp_ms if EARLIEST_MS <= stamp_ms <= LATEST_MS else time.time_ns() // 1_000_000,
            fields={name: value for name, value in pairs if value is not None and name in headers.KNOWN},
            fault=fault,
        )

    @property
    def name(self) -> str:
        """The request's name where it brought none."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def attempt(self) -> int:
        """Which attempt of the client this is, 1 for the first."""
        return headers.whole(self.fields.get(headers.ATTEMPT), default=1)

    def check(self) -> None:
        """Check the headers that do not say where the answer goes.

        Raises
        ------
        DecodeError
            If there are too many, a name is no UTF-8, a correlation id is too long to be sent back, or the deadline is no plausible time.
        """
        if self.fault is not None:
            raise self.fault
        for name in (headers.CORRELATION_ID, headers.SPRING_CORRELATION_ID):
            size = len(self.fields.get(name, b""))
            if size > headers.MAX_ECHO_BYTES:
                expected = f"at most {headers.MAX_ECHO_BYTES} bytes"
                raise DecodeError(ReasonCode.OVERSIZED, expected=expected, got=f"{size} bytes", path=f"header {name}")
        self._deadline_ms()

    def overdue_ms(self, now_ms: int) -> int:
        """Return for how long nobody has waited for the answer any more, milliseconds; 0 while somebody may be waiting."""
        try:
            deadline_ms = self._deadline_ms()
        except DecodeError:
            return 0
        return 0 if deadline_ms is None else max(now_ms - deadline_ms, 0)

    def reply_headers(self, response: FeedResponse) -> list[tuple[str, bytes]]:
        """Return the headers of an answer: what identifies the request, echoed unless too large, and what the answer is.

        Correlation ids go back under the names and in the bytes that they came with; where only Spring's came, ours carries it too.
        """
        echoed = {name: value for name in _ECHOED if (value := self.fields.get(name)) is not None and len(value) <= headers.MAX_ECHO_BYTES}
        request_id = response.request_id.encode()
        echoed.setdefault(headers.CORRELATION_ID, echoed.get(headers.SPRING_CORRELATION_ID, request_id))
        return [
            *echoed.items(),
            (headers.CE_ID, request_id),
            (headers.CE_TYPE, f"{FeedResponse.TYPE}.v{FeedResponse.VERSION}".encode()),
            (headers.CE_TIME, datetime.fromtimestamp(response.now_ms / 1_000, UTC).isoformat(timespec="milliseconds").encode()),
        ]

    def _deadline_ms(self) -> int | None:
        deadline = self.fields.get(headers.DEADLINE_MS)
        if deadline is None:
            return None
        path, at_ms = f"header {headers.DEADLINE_MS}", headers.whole(deadline, default=-1)
        if at_ms < 0:
            raise DecodeError(ReasonCode.INVALID_VALUE, expected="epoch milliseconds in digits", got=headers.shown(deadline), path=path)
        plausible(at_ms, path=path)
        return at_ms


def _pairs(message: Message) -> tuple[list[tuple[str, bytes | None]], DecodeError | None]:
    """Return the headers of a request, none where they cannot be read, and what is wrong with them."""
    pairs = headers.pairs(message)
    if pairs is None:
        return [], DecodeError(ReasonCode.MALFORMED, expected="names of headers in UTF-8", got="other bytes", path="headers")
    if len(pairs) > headers.MAX_HEADERS:
        got = f"{len(pairs)} headers"
        return pairs, DecodeError(ReasonCode.OVERSIZED, expected=f"at most {headers.MAX_HEADERS} headers", got=got, path="headers")
    return pairs, None
