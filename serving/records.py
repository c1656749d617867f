"""Reads topics from outside a flow: all that is there, or all that comes; no group, nothing committed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from schemas.settings import Settings
from serving.errors import ConfigError, ServiceError
from serving.wire import bounds_of

_ANSWER_WITHIN_S = 5.0
_POLL_S = 0.2


def read_records(
    settings: Settings, topic: str, *, from_beginning: bool = True, follow: bool = False, last: int | None = None
) -> Iterator[Message]:
    """Yield the records of a topic, in order within each partition.

    Parameters
    ----------
    settings : Settings
        How to reach the broker.
    topic : str
        Name without `Settings.topic_prefix`.
    from_beginning : bool
        Begin with the oldest record; False: with what comes from now on.
    follow : bool
        Never end; False: end with the record that is the last one now.
    last : int, optional
        Begin so many records before the end of each partition instead.

    Raises
    ------
    ConfigError
        When the cluster has no such topic.
    ServiceError
        When the broker does not answer.
    """
    full = settings.topic_prefix + topic
    consumer = Consumer(
        {
            **settings.kafka(),
            "group.id": "penstock.reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        open_partitions = set(_partitions(consumer, full))
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        starts = {one: start if last is None else _before_end(consumer, full, one, last) for one in open_partitions}
        consumer.assign([TopicPartition(full, *one) for one in starts.items()])
        answered_at = time.monotonic()
        while open_partitions or follow:
            message = consumer.poll(_POLL_S)
            if message is None:
                if not follow and time.monotonic() - answered_at > _ANSWER_WITHIN_S:
                    raise ServiceError(expected="the rest of the topic", got="no answer", where=full, do="run `penstock status`")
                continue
            answered_at = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif not error.retriable():
                raise ServiceError(expected="records", got=error.str(), where=full, do="run `penstock status`")
    finally:
        consumer.close()


def last_by_key(settings: Settings, topic: str) -> dict[bytes, Message]:
    """Return the newest record of each key, in the order of the first one; deleted keys are left out."""
    newest: dict[bytes, Message] = {}
    for message in read_records(settings, topic):
        newest[message.key() or b""] = message
    return {key: message for key, message in newest.items() if message.value() is not None}


def _before_end(consumer: Consumer, topic: str, partition: int, n: int) -> int:
    low, end = bounds_of(consumer, topic, partition)
    return max(low, end - n)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    metadata: Any = consumer.list_topics(topic, timeout=_ANSWER_WITHIN_S)
    found = metadata.topics[topic]
    if found.error is not None:
        raise ConfigError(expected="a topic of the cluster", got=found.error.str(), where=topic, do="run `penstock topics apply`")
    return list(found.partitions)
