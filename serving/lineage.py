"""Reads lineage records off `feed.served` as they come."""

from __future__ import annotations

import time
import uuid

from confluent_kafka import Consumer, TopicPartition

from schemas.codec import decode
from schemas.feed import ServedRecord
from schemas.settings import Settings
from serving.errors import TransportError

TOPIC = "feed.served"


class ServedTail:
    """Follows `feed.served` from the moment it is made, outside of any consumer group."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic_prefix + TOPIC
        self._consumer = Consumer(settings.kafka() | {"group.id": f"penstock.tail.{uuid.uuid4().hex}", "enable.auto.commit": False})
        metadata = self._consumer.list_topics(self._topic, timeout=10).topics[self._topic]
        partitions = [TopicPartition(self._topic, number) for number in metadata.partitions]
        ends = [self._consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
        self._consumer.assign([TopicPartition(self._topic, p.partition, end) for p, end in zip(partitions, ends, strict=True)])

    def poll(self, timeout: float) -> list[ServedRecord]:
        """Return the records that came within `timeout` seconds; as soon as there are some."""
        first = self._consumer.poll(timeout)
        messages = [] if first is None else [first, *self._consumer.consume(1_000, 0)]
        return [decode(ServedRecord, message.value() or b"") for message in messages if message.error() is None]

    def wait_for(self, request_id: str, *, timeout: float) -> ServedRecord:
        """Return the lineage of one request.

        Raises
        ------
        TransportError
            If it does not come in time.
        """
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for record in self.poll(min(left, 0.2)):
                if record.request_id == request_id:
                    return record
        raise TransportError(expected=f"the lineage of request {request_id}", got=f"none in {timeout} s", where=self._topic)

    def close(self) -> None:
        """Stop following."""
        self._consumer.close()
