"""Reads a fixed range of offsets of each partition, from outside a flow; no group, nothing committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators.replay.columns import Record
from schemas import headers
from schemas.settings import Settings
from serving.errors import ConfigError, ServiceError

_ANSWER_WITHIN_S = 20.0
_BATCH = 1_000
_POLL_S = 0.2
_PASSING = (
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)

Answer = TypeVar("Answer")


class Range(NamedTuple):
    """Offsets of a partition, start <= offset < end; the topic's name is without the cluster's prefix."""

    topic: str
    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class RangeReader:
    """One consumer for one range after another; holds a few megabytes of records at a time.

    Parameters
    ----------
    settings
        How to reach the broker.
    """

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = Consumer(
            {
                **settings.kafka(),
                "group.id": "penstock.recorder",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 8_192,
                "fetch.queue.backoff.ms": 5,
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )

    def ranges(self, topic: str, *, since_ms: int | None = None) -> list[Range]:
        """Return what every partition of a topic holds at this moment.

        Parameters
        ----------
        since_ms
            Begin with the first record stamped so late; default: offset 0 for a compacted topic's sake, which always begins there.

        Raises
        ------
        ConfigError
            If the cluster has no such topic.
        ServiceError
            If the broker does not answer.
        """
        full = self._prefix + topic
        metadata: Any = self._consumer.list_topics(full, timeout=_ANSWER_WITHIN_S)
        found = metadata.topics[full]
        if found.error is not None:
            raise ConfigError(expected="a topic of the cluster", got=found.error.str(), where=full, do="run `penstock topics apply`")
        return [self._range(topic, full, partition, since_ms) for partition in sorted(found.partitions)]

    def read(self, wanted: Range) -> Iterator[Record]:
        """Yield the records of a range in order; offsets that the broker does not have any more are left out.

        Raises
        ------
        ServiceError
            If the broker does not give what it has.
        """
        if len(wanted) == 0:
            return
        full = self._prefix + wanted.topic
        self._consumer.assign([TopicPartition(full, wanted.partition, wanted.start)])
        answered_at = time.monotonic()
        try:
            while True:
                messages = self._consumer.consume(_BATCH, _POLL_S)
                if messages:
                    answered_at = time.monotonic()
                elif time.monotonic() - answered_at > _ANSWER_WITHIN_S:
                    raise ServiceError(expected="the rest of the topic", got="no answer", where=full, do="run `penstock status`")
                for message in messages:
                    if message.error() is not None:
                        if _is_end(message.error(), full):
                            return
                        continue
                    record = _record(message)
                    if record.offset >= wanted.end:
                        return
                    yield record
                    if record.offset == wanted.end - 1:
                        return
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _range(self, topic: str, full: str, partition: int, since_ms: int | None) -> Range:
        place = TopicPartition(full, partition)
        low, high = _patiently(lambda: self._consumer.get_watermark_offsets(place, timeout=_ANSWER_WITHIN_S), full)
        if since_ms is None:
            return Range(topic, partition, low, high)
        asked = [TopicPartition(full, partition, max(since_ms, 0))]
        start = _patiently(lambda: self._consumer.offsets_for_times(asked, timeout=_ANSWER_WITHIN_S)[0].offset, full)
        return Range(topic, partition, start if 0 <= start <= high else high, high)


def _patiently(ask: Callable[[], Answer], topic: str) -> Answer:
    """Ask until the broker knows: a topic that is new, or whose leader moves, is not known everywhere at once."""
    deadline = time.monotonic() + _ANSWER_WITHIN_S
    while True:
        try:
            return ask()
        except KafkaException as exception:
            error = exception.args[0]
            if not is_passing(error) or time.monotonic() > deadline:
                raise ServiceError(expected="its offsets", got=error.str(), where=topic, do="run `penstock status`") from None
            time.sleep(_POLL_S)


def is_passing(error: KafkaError) -> bool:
    """Return whether an error of the broker passes by itself."""
    return error.retriable() or error.code() in _PASSING


def _is_end(error: KafkaError | None, topic: str) -> bool:
    """Return whether this says that the partition has no more; what the client gets over by itself is passed over."""
    if error is None or is_passing(error):
        return False
    if error.code() != KafkaError._PARTITION_EOF:
        raise ServiceError(expected="records", got=error.str(), where=topic, do="run `penstock status`")
    return True


def _record(message: Message) -> Record:
    return Record(
        offset=int(message.offset() or 0),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value or b"") for name, value in headers.pairs(message) or ()),
    )
