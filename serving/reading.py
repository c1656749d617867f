"""Reads whole topics, from the first record to what is the end now, outside of any consumer group."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.base import Message as Contract
from schemas.codec import DecodeError, decode
from schemas.settings import Settings
from serving.errors import ContractError, ServiceError
from serving.wire import bounds_of, count_partitions

_log = logging.getLogger(__name__)
_BATCH = 10_000
_ANSWER_WITHIN_S = 20.0

M = TypeVar("M", bound=Contract)


class TopicReader:
    """Follows some topics in steps: each `advance` yields what came since the one before, up to the end at its call.

    Parameters
    ----------
    settings : Settings
        Where the broker is.
    topics : Sequence[str]
        Names as in topics.yaml.
    """

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = Consumer(
            settings.kafka()
            | {"group.id": f"penstock.reader.{uuid.uuid4().hex}", "enable.auto.commit": False, "auto.offset.reset": "earliest"},
            logger=_log,
        )
        self._next: dict[tuple[str, int], int] = {}
        for topic in topics:
            full = self._prefix + topic
            self._next |= {(full, number): 0 for number in range(count_partitions(self._consumer, full))}

    def advance(self, on_progress: Callable[[int, int], None] | None = None) -> Iterator[tuple[str, Message]]:
        """Yield (topic, message) until the ends as they are now; `on_progress` gets records read and their number in all, about.

        Raises
        ------
        ServiceError
            If the broker says nothing for 20 seconds.
        TransportError
            If it does not know where the topics end.
        """
        ends: dict[tuple[str, int], int] = {}
        for topic, partition in self._next:
            low, high = bounds_of(self._consumer, topic, partition)
            self._next[topic, partition] = max(self._next[topic, partition], low)
            ends[topic, partition] = high
        left = {key for key, end in ends.items() if self._next[key] < end}
        total = sum(ends[key] - self._next[key] for key in left)
        read = 0
        self._consumer.assign([TopicPartition(*key, self._next[key]) for key in sorted(left)])
        answered_at = time.monotonic()
        while left:
            first = self._consumer.poll(0.2)
            messages = [] if first is None else [first, *self._consumer.consume(_BATCH, 0)]
            for message in messages:
                failure = message.error()
                if failure is not None:
                    if failure.fatal():
                        raise KafkaException(failure)
                    continue
                key = (str(message.topic()), int(message.partition() or 0))
                offset = int(message.offset() or 0)
                if offset < ends[key]:
                    self._next[key] = offset + 1
                    read += 1
                    yield key[0].removeprefix(self._prefix), message
            left -= self._finished(left, ends)
            if any(message.error() is None for message in messages):
                answered_at = time.monotonic()
            elif left and time.monotonic() - answered_at > _ANSWER_WITHIN_S:
                where = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(left))
                raise ServiceError(expected="the rest of the topics", got="no answer", where=where, do="run `penstock status`")
            if on_progress is not None:
                on_progress(read, total)
        self._consumer.unassign()

    def _finished(self, left: set[tuple[str, int]], ends: dict[tuple[str, int], int]) -> set[tuple[str, int]]:
        """Return the partitions whose end is reached; compaction may have taken the last records, so the position decides."""
        keys = sorted(left)
        positions = self._consumer.position([TopicPartition(*key) for key in keys])
        done = {key for key, at in zip(keys, positions, strict=True) if at.offset >= ends[key] or self._next[key] >= ends[key]}
        for key in done:
            self._next[key] = ends[key]
        return done

    def close(self) -> None:
        """Stop following."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def decoded(contract: type[M], message: Message) -> M:
    """Return the message that a record holds.

    Raises
    ------
    ContractError
        If it does not keep its contract.
    """
    try:
        return decode(contract, message.value() or b"")
    except DecodeError as error:
        where = f"{message.topic()}/{message.partition()}/{message.offset()}"
        raise ContractError(expected=f"a {contract.__name__}", got=str(error), where=where, do="find out what wrote it") from None


def decoded_all(contract: type[M], messages: Iterable[Message]) -> Iterator[M]:
    """Yield what records hold; those that do not keep the contract are logged and passed over: anybody can write to a topic."""
    for message in messages:
        try:
            yield decoded(contract, message)
        except ContractError as error:
            _log.error("passed over: %s", error)
