"""Kafka header names: request-reply, CloudEvents, W3C trace context."""

from __future__ import annotations

CORRELATION_ID = "correlation_id"
REPLY_TOPIC = "reply_topic"
REPLY_PARTITION = "reply_partition"
DEADLINE_MS = "deadline_ms"
ATTEMPT = "attempt"

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
