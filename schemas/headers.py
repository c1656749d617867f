"""Kafka header names: request-reply, CloudEvents, W3C trace context."""

from __future__ import annotations

CORRELATION_ID = "correlation_id"
REPLY_TOPIC = "reply_topic"
REPLY_PARTITION = "reply_partition"
DEADLINE_MS = "deadline_ms"
ATTEMPT = "attempt"
ORIGIN_LETTER = "origin_letter"
"""Id of the dead letter that a record was sent again from."""

# Spring Kafka's ReplyingKafkaTemplate sends these; its reply partition is a 4-byte big-endian integer.
SPRING_CORRELATION_ID = "kafka_correlationId"
SPRING_ALIASES = {
    SPRING_CORRELATION_ID: CORRELATION_ID,
    "kafka_replyTopic": REPLY_TOPIC,
    "kafka_replyPartition": REPLY_PARTITION,
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

_MOST_DIGITS = 18


def whole(text: bytes | None, *, default: int) -> int:
    """Return the whole number that a header holds; the default where it holds none, or none that fits 64 bits.

    >>> whole(b"3", default=1), whole(b"-3", default=1), whole(b"9" * 5_000, default=1), whole(None, default=1)
    (3, 1, 1, 1)
    """
    return int(text) if text is not None and text.isdigit() and len(text) <= _MOST_DIGITS else default
