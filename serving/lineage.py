"""Reads lineage records off `feed.served` as they come."""

from __future__ import annotations

import logging
import time
import uuid
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, Message, TopicPartition

from schemas.codec import DecodeError, decode
from schemas.feed import ServedRecord
from schemas.settings import Settings
from serving.errors import TransportError
from serving.wire import count_partitions, end_of

TOPIC = "feed.served"

_log = logging.getLogger(__name__)


class ServedTail:
    """Follows `feed.served` from the moment it is made, outside of any consumer group."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic_prefix + TOPIC
        self._consumer = Consumer(settings.kafka() | {"group.id": f"penstock.tail.{uuid.uuid4().hex}", "enable.auto.commit": False})
        try:
            partitions = range(count_partitions(self._consumer, self._topic))
            self._consumer.assign([TopicPartition(self._topic, n, end_of(self._consumer, self._topic, n)) for n in partitions])
        except BaseException:
            self.close()
            raise

    def poll(self, timeout: float) -> list[ServedRecord]:
        """Return the records that came within `timeout` seconds, as soon as there are some; what is no lineage is passed over."""
        first = self._consumer.poll(timeout)
        messages = [] if first is None else [first, *self._consumer.consume(1_000, 0)]
        return [record for message in messages if message.error() is None and (record := _record(message)) is not None]

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _record(message: Message) -> ServedRecord | None:
    try:
        return decode(ServedRecord, message.value() or b"")
    except DecodeError as error:
        _log.warning("no lineage at %s/%s/%s: %s", message.topic(), message.partition(), message.offset(), error)
        return None
