"""What a sink writes: messages that name their topic."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas import headers
from schemas.codec import encode
from schemas.dlq import DeadLetter


class Outgoing(msgspec.Struct, frozen=True):
    """A message to write.

    Parameters
    ----------
    topic
        Where to.
    key
        Decides the partition unless that is given; None spreads by value.
    value
        The payload; None is a tombstone.
    partition
        Explicit partition; -1 means ``partition_for(key, n)``.
    headers
        Names and values, in order.
    timestamp_ms
        Epoch milliseconds; None means now.
    tag
        Given back to ``KafkaSink.on_delivered`` when the broker has acknowledged the message; None asks for nothing.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = -1
    headers: list[tuple[str, bytes]] = []
    timestamp_ms: int | None = None
    tag: Any = None


def outgoing_letter(topic: str, letter: DeadLetter, *, tag: Any = None) -> Outgoing:
    """Return a dead letter as it is written to `topic`: under its id, with its reason and origin as headers.

    Examples
    --------
    >>> from schemas.dlq import ReasonCode
    >>> where = {"topic": "telemetry.raw", "partition": 0, "offset": 7, "path": "$", "expected": "x", "got": "y", "at_ms": 0}
    >>> letter = DeadLetter(reason=ReasonCode.MALFORMED, raw=b"{", **where)
    >>> outgoing_letter("telemetry.dlq", letter).headers[:2]
    [('dlq_reason', b'malformed'), ('dlq_topic', b'telemetry.raw')]
    """
    origin = {
        headers.DLQ_REASON: letter.reason.value,
        headers.DLQ_TOPIC: letter.topic,
        headers.DLQ_PARTITION: letter.partition,
        headers.DLQ_OFFSET: letter.offset,
        headers.DLQ_EVENT_INDEX: letter.event_index,
        headers.DLQ_ATTEMPT: letter.attempt,
    }
    named = [(name, str(value).encode()) for name, value in origin.items()]
    return Outgoing(topic, letter.letter_id.encode(), encode(letter), headers=named, tag=tag)
