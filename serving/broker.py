"""Makes the consumers that run outside a flow, and asks the broker for partitions, ends, and offsets by time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.broker_errors import is_missing, is_passing
from serving.errors import ConfigError, ServiceError

ANSWER_WITHIN_S = 20.0
NEW_TOPIC_S = 1.0
"""A topic just made is not known at once, nor are its leaders."""

_AGAIN_S = 0.1

_log = logging.getLogger(__name__)

T = TypeVar("T")


class TopicMissing(ConfigError):
    """The cluster has no such topic."""


def make_consumer(kafka: Mapping[str, str], group: str, own: Mapping[str, str | int | bool]) -> Consumer:
    """Return a consumer that is given its partitions and commits nothing; it belongs to the group by name only.

    Parameters
    ----------
    kafka : Mapping[str, str]
        How to reach the broker (`Settings.kafka()`).
    group : str
        What the broker's administrators see.
    own : Mapping[str, str or int or bool]
        Properties of librdkafka that differ from ours.
    """
    defaults: dict[str, str | int | bool] = {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": 5,
        "fetch.wait.max.ms": 50,
        "queued.max.messages.kbytes": 16_384,
    }
    return Consumer({**kafka, **defaults, **own}, logger=_log)


def count_partitions(client: Consumer | Producer, topic: str, *, wait_s: float = NEW_TOPIC_S) -> int:
    """Return how many partitions a topic has.

    Parameters
    ----------
    wait_s : float
        How long the broker may not know the topic.

    Raises
    ------
    TopicMissing
        If it has no such topic.
    ServiceError
        If it does not answer.
    """

    def ask() -> int:
        found = client.list_topics(topic, timeout=ANSWER_WITHIN_S).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return len(found.partitions)

    return _patiently(ask, topic, missing_s=wait_s)


def bounds_of(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset that a partition has and the one after its last; raises as `count_partitions` does."""
    place = TopicPartition(topic, partition)
    low, high = _patiently(lambda: consumer.get_watermark_offsets(place, timeout=ANSWER_WITHIN_S), topic)
    return int(low), int(high)


def end_of(consumer: Consumer, topic: str, partition: int) -> int:
    """Return the offset after the last record of a partition; raises as `count_partitions` does."""
    return bounds_of(consumer, topic, partition)[1]


def offset_at(consumer: Consumer, topic: str, partition: int, since_ms: int) -> int | None:
    """Return the first offset stamped so late, or None where there is none; raises as `count_partitions` does."""
    asked = [TopicPartition(topic, partition, max(since_ms, 0))]
    offset = _patiently(lambda: consumer.offsets_for_times(asked, timeout=ANSWER_WITHIN_S)[0].offset, topic)
    return offset if offset >= 0 else None


def _patiently(ask: Callable[[], T], topic: str, *, missing_s: float = ANSWER_WITHIN_S) -> T:
    """Ask until the broker knows: a topic that is new, or whose leader moves, is not known everywhere at once."""
    began = time.monotonic()
    while True:
        try:
            return ask()
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            spent, missing = time.monotonic() - began, is_missing(error)
            if not (missing and spent < missing_s) and not (is_passing(error) and spent < ANSWER_WITHIN_S):
                raise _failure(error, topic, missing=missing) from None
        time.sleep(_AGAIN_S)


def _failure(error: KafkaError, topic: str, *, missing: bool) -> ConfigError | ServiceError:
    if missing:
        return TopicMissing(expected="a topic of the cluster", got=error.str(), where=topic, do="run `penstock topics apply`")
    return ServiceError(expected="an answer of the broker", got=error.str(), where=topic, do="run `penstock status`")
