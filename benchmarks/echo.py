"""An echo service on the request-reply topics: the floor under every feed latency.

`python -m benchmarks.echo` joins the consumer group of the feed workers' stand-ins and answers each request with an empty feed.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from typing import cast

from confluent_kafka import Consumer, Message, Producer

from schemas import headers
from schemas.codec import decode, encode
from schemas.feed import FeedRequest, FeedResponse, Level
from schemas.partition import partition_for
from schemas.settings import Settings


def reply_to(message: Message, replies: int) -> tuple[FeedResponse, int, list[tuple[str, str | bytes | None]]]:
    """Return the empty feed that answers a request, its partition and its headers."""
    request = decode(FeedRequest, message.value() or b"")
    found = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
    request_id = request.request_id or f"{message.topic()}-{message.partition()}-{message.offset()}"
    partition = int(found.get(headers.REPLY_PARTITION, str(partition_for(request_id.encode(), replies))))
    response = FeedResponse(
        request_id=request_id, user_id=request.user_id, now_ms=message.timestamp()[1], items=[], degradation_level=Level.EMPTY_CATALOGUE
    )
    echoed: list[tuple[str, str | bytes | None]] = [
        (name, found[name]) for name in (headers.CORRELATION_ID, headers.ATTEMPT) if name in found
    ]
    return response, partition, echoed


def _expired(message: Message) -> bool:
    found = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
    return int(found.get(headers.DEADLINE_MS, b"0") or 0) < time.time() * 1000


def serve(settings: Settings, stop: threading.Event, *, group: str = "penstock.echo", session_timeout_ms: int = 6_000) -> None:
    """Answer requests until `stop` is set."""
    responses = settings.topic_prefix + "feed.responses"
    producer = Producer(settings.kafka() | {"linger.ms": 0, "acks": "1"})
    consumer = Consumer(
        settings.kafka()
        | {
            "group.id": group,
            "group.instance.id": uuid.uuid4().hex,
            "session.timeout.ms": session_timeout_ms,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 2,
        }
    )
    replies = len(producer.list_topics(responses, timeout=10).topics[responses].partitions)
    consumer.subscribe([settings.topic_prefix + "feed.requests"])
    while not stop.is_set():
        message = consumer.poll(0.02)
        if message is None or message.error() is not None:
            continue
        if _expired(message):
            continue
        response, partition, echoed = reply_to(message, replies)
        producer.produce(responses, key=response.request_id.encode(), value=encode(response), partition=partition, headers=echoed)
        producer.poll(0)
    producer.flush(5)
    consumer.close()


def main() -> None:
    """Serve with settings from the environment until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    serve(Settings(), stop)


if __name__ == "__main__":
    main()
