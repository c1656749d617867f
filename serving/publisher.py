"""Publishes keyed messages (catalogue, history, control) and returns only what the broker has acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import headers
from schemas.base import Message as Contract
from schemas.codec import encode
from schemas.dlq import LARGEST_LETTER
from schemas.partition import partition_for
from schemas.topics import DEFAULT_MESSAGE_BYTES, FRAMING_BYTES, load_topics
from serving.broker import count_partitions
from serving.checked import checked
from serving.errors import TransportError

_log = logging.getLogger(__name__)


class Publisher:
    """Sends messages to any topic by key, `acks=all` and idempotent; `flush` or leaving the block waits for every acknowledgement.

    Parameters
    ----------
    kafka : Mapping[str, str]
        Connection properties of librdkafka (`Settings.kafka()`).
    topic_prefix : str
        Prefix of every topic name, as in `Settings.topic_prefix`.
    """

    def __init__(self, kafka: Mapping[str, str], *, topic_prefix: str = "") -> None:
        self.topic_prefix = topic_prefix
        self._producer = Producer(
            {"message.max.bytes": LARGEST_LETTER}  # what is too large for its topic is refused by `put`: brokers see it compressed
            | dict(kafka)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "topic.metadata.propagation.max.ms": 3_000,
            },
            logger=_log,
        )
        self.acknowledged = 0
        self._partitions: dict[str, int] = {}
        self._failures: list[str] = []

    def publish(self, topic: str, key: str, message: Contract | bytes | None, extra: Mapping[str, str] | None = None) -> None:
        """Send a message; `None` deletes the key's record of a compacted topic, bytes go out as they are.

        Raises
        ------
        ContractError
            If the message does not fit its own contract; nothing was sent.
        TopicMissing
            If the cluster has no such topic.
        ServiceError
            If the broker does not answer.
        """
        fields = dict(extra or {})
        if isinstance(message, Contract):
            checked(message)
            fields |= {headers.CE_ID: key, headers.CE_TYPE: f"{message.TYPE}.v{message.VERSION}"}
        value = encode(message) if isinstance(message, Contract) else message
        full = self.topic_prefix + topic
        self.put(full, key.encode(), value, partition_for(key.encode(), self._count(full)), fields)

    def put(  # noqa: PLR0917
        self,
        full_topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        fields: Mapping[str, str],
        on_landed: Callable[[int], None] | None = None,
    ) -> None:
        """Send bytes to a partition of a topic, its name with the prefix; what is refused is told by `flush`.

        `on_landed` is told the offset of the record once the broker has it, on the thread that calls `put` or `flush`.
        """

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failures.append(f"{error.str()} on {message.topic()}")
                return
            self.acknowledged += 1
            if on_landed is not None:
                on_landed(int(message.offset() or 0))

        size, most = len(key or b"") + len(value or b""), self._record_bytes(full_topic)
        if size > most:
            self._failures.append(f"a record of {size:,} bytes is too large for {full_topic}, which takes {most:,}")
            return
        while True:
            try:
                self._producer.produce(
                    full_topic,
                    key=key,
                    value=value,
                    partition=partition,
                    headers=[(name, text.encode()) for name, text in fields.items()],
                    on_delivery=on_delivery,
                )
            except KafkaException as error:
                self._failures.append(f"{error.args[0].str()} on {full_topic}")
                break
            except BufferError:
                self._producer.poll(0.05)
            else:
                break
        self._producer.poll(0)

    def _record_bytes(self, full_topic: str) -> int:
        """Return what a topic takes; one that is none of the system's takes what brokers take by default."""
        spec = load_topics().get(full_topic.removeprefix(self.topic_prefix))
        return DEFAULT_MESSAGE_BYTES - FRAMING_BYTES if spec is None else spec.record_bytes

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = count_partitions(self._producer, topic)
        return self._partitions[topic]

    def flush(self, timeout: float = 60.0) -> None:
        """Return when the broker has acknowledged everything.

        Raises
        ------
        TransportError
            If something could not be delivered in time.
        """
        left = self._producer.flush(timeout)
        failures, self._failures = self._failures, []
        if left or failures:
            raise TransportError(
                expected="every message acknowledged",
                got=f"{left} left, {len(failures)} refused{': ' + failures[0] if failures else ''}",
                where="the broker",
                do="run `penstock status`",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
