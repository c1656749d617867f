"""What a feed client puts on the request topic and finds on the response topic."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer
from opentelemetry import propagate

from schemas import headers
from schemas.feed import FeedRequest
from serving.broker import make_consumer

_ATTEMPT_DIGITS = 4
_FLUSH_S = 1.0

_log = logging.getLogger(__name__)


class Reply(NamedTuple):
    """An answer as it came: whose it is, to which attempt, its bytes."""

    request_id: str
    attempt: int
    value: bytes


def reply_of(message: Message) -> Reply:
    """Read an answer's headers; anything can stand on a shared topic, so nothing is taken for granted."""
    found: Mapping[str, bytes] = {name: value for name, value in headers.pairs(message) or () if value is not None}
    try:
        request_id = found.get(headers.CORRELATION_ID, message.key() or b"").decode()
    except UnicodeDecodeError:
        request_id = ""  # somebody else's: ours are texts, and never empty
    attempt = found.get(headers.ATTEMPT, b"1")
    plausible = attempt.isdigit() and len(attempt) <= _ATTEMPT_DIGITS
    return Reply(request_id, max(int(attempt), 1) if plausible else 1, message.value() or b"")


def request_headers(
    request_id: str, *, reply_topic: str, reply_partition: int, deadline_ms: int, attempt: int
) -> list[tuple[str, str | bytes | None]]:
    """Return the headers of a request: correlation, reply address, deadline, CloudEvents, trace context."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    fields = {
        headers.CORRELATION_ID: request_id,
        headers.REPLY_TOPIC: reply_topic,
        headers.REPLY_PARTITION: str(reply_partition),
        headers.DEADLINE_MS: str(deadline_ms),
        headers.ATTEMPT: str(attempt),
        headers.CE_ID: request_id,
        headers.CE_TYPE: f"{FeedRequest.TYPE}.v{FeedRequest.VERSION}",
    } | carrier
    return [(name, value.encode()) for name, value in fields.items()]


def request_producer(kafka: Mapping[str, str]) -> Producer:
    """Return the producer of a client's requests: nothing waits for company."""
    own = {"linger.ms": 0, "acks": "1", "client.id": f"feed-client-{os.getpid()}", "queue.buffering.max.messages": 100_000}
    return Producer(dict(kafka) | own, logger=_log)


def disconnect(producer: Producer, consumer: Consumer) -> None:
    """Close a client's connections; what is not sent within a second is dropped."""
    producer.flush(_FLUSH_S)
    producer.purge()
    producer.close()
    consumer.close()


def reply_consumer(kafka: Mapping[str, str], client_id: str) -> Consumer:
    """Return the consumer of a client's own reply partition: outside of any group's work, quick to look again."""
    own: dict[str, str | int | bool] = {"auto.offset.reset": "latest", "fetch.queue.backoff.ms": 2, "fetch.wait.max.ms": 100}
    return make_consumer(kafka, f"penstock.client.{client_id}", own)
