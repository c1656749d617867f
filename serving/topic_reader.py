"""Reads topics from outside a flow: ranges of offsets, all that is new, or what comes; no group, nothing committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, TypeVar

from confluent_kafka import KafkaError, Message, TopicPartition

from schemas.base import Message as Contract
from schemas.broker_errors import is_passing
from schemas.codec import DecodeError, decode
from schemas.settings import Settings
from serving.broker import ANSWER_WITHIN_S, NEW_TOPIC_S, bounds_of, count_partitions, make_consumer, offset_at
from serving.errors import ContractError, ServiceError

_BATCH = 1_000
_POLL_S = 0.2
_LOOK_BACK = 20

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Contract)
Found = TypeVar("Found")
OnProgress = Callable[[int, int], None]
"""Told how many records are read, and how many there are in all, about."""


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of a partition, start <= offset < end; the topic's name is without the cluster's prefix."""

    topic: str
    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


class TopicReader:
    """One consumer for some topics; holds a few megabytes of records at a time.

    A leader that moves and a broker that restarts are waited for. All names of topics are those of topics.yaml.

    Parameters
    ----------
    settings : Settings
        How to reach the broker, and the prefix of its topics.
    topics : Sequence[str]
        What is read.
    start : {"earliest", "latest"}
        Where `advance` and `poll` begin: at the oldest record, or with what comes after this moment.
    new_topic_s : float
        How long a topic may be unknown to the broker; one just made is.

    Raises
    ------
    TopicMissing
        If the cluster has no such topic.
    ServiceError
        If the broker does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        start: Literal["earliest", "latest"] = "earliest",
        new_topic_s: float = NEW_TOPIC_S,
    ) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = make_consumer(settings.kafka(), "penstock.reader", {"enable.partition.eof": True, "log_level": 0})
        self._next: dict[tuple[str, int], int] = {}
        self._follows = False
        try:
            for topic in topics:
                for number in range(count_partitions(self._consumer, self._prefix + topic, wait_s=new_topic_s)):
                    self._next[topic, number] = self._range(topic, number).end if start == "latest" else 0
        except BaseException:
            self.close()
            raise

    def ranges(self, topic: str, *, since_ms: int | None = None) -> list[Range]:
        """Return what every partition of a topic holds at this moment.

        Parameters
        ----------
        since_ms : int, optional
            Begin with the first record that the broker stamped so late.

        Raises
        ------
        ServiceError
            If the broker does not answer.
        """
        found = [self._range(name, number) for name, number in self._next if name == topic]
        if since_ms is None:
            return found
        starts = [offset_at(self._consumer, self._prefix + topic, one.partition, since_ms) for one in found]
        return [replace(one, start=one.end if start is None else min(start, one.end)) for one, start in zip(found, starts, strict=True)]

    def read(self, ranges: Iterable[Range], on_progress: OnProgress | None = None) -> Iterator[tuple[str, Message]]:
        """Yield (topic, message) of ranges, one of a partition at most, in order within each; what is gone is left out.

        Raises
        ------
        ServiceError
            If the broker does not give what it has, or says nothing for 20 seconds.
        """
        left = {(self._prefix + one.topic, one.partition): one for one in ranges if len(one)}
        total, read = sum(map(len, left.values())), 0
        self._follows = False
        self._consumer.assign([TopicPartition(*place, one.start) for place, one in left.items()])
        answered_at = time.monotonic()
        try:
            while left:
                came = self._come(_POLL_S)
                for message in came:
                    place, offset = (str(message.topic()), int(message.partition() or 0)), int(message.offset() or 0)
                    wanted = left.get(place)
                    if wanted is None:
                        continue
                    if message.error() is None and offset < wanted.end:
                        read += 1
                        yield wanted.topic, message
                    if offset + (message.error() is None) >= wanted.end:
                        del left[place]
                        self._consumer.incremental_unassign([TopicPartition(*place)])
                if came:
                    answered_at = time.monotonic()
                elif time.monotonic() - answered_at > ANSWER_WITHIN_S:
                    where = ", ".join(f"{topic}/{number}" for topic, number in sorted(left))
                    raise ServiceError(expected="the rest of the topics", got="no answer", where=where, do="run `penstock status`")
                if on_progress is not None:
                    on_progress(read, total)
        finally:
            self._consumer.unassign()

    def advance(self, on_progress: OnProgress | None = None) -> Iterator[tuple[str, Message]]:
        """Yield (topic, message) of all that came since the last call, up to the ends as they are now; raises as `read` does."""
        ahead = [self._range(topic, number) for topic, number in self._next]
        ahead = [replace(one, start=max(one.start, self._next[one.topic, one.partition])) for one in ahead]
        for topic, message in self.read((one for one in ahead if one.start < one.end), on_progress):
            self._next[topic, int(message.partition() or 0)] = int(message.offset() or 0) + 1
            yield topic, message
        for one in ahead:
            self._next[one.topic, one.partition] = one.end

    def poll(self, timeout: float) -> list[tuple[str, Message]]:
        """Return (topic, message) of what came within `timeout` seconds, as soon as there is something.

        Raises
        ------
        ServiceError
            If the broker refuses.
        """
        if not self._follows:
            self._consumer.assign([TopicPartition(self._prefix + topic, number, at) for (topic, number), at in self._next.items()])
            self._follows = True
        came = [(str(one.topic()).removeprefix(self._prefix), one) for one in self._come(timeout) if one.error() is None]
        for topic, message in came:
            self._next[topic, int(message.partition() or 0)] = int(message.offset() or 0) + 1
        return came

    def follow(self) -> Iterator[tuple[str, Message]]:
        """Yield (topic, message) for ever; raises as `poll` does."""
        while True:
            yield from self.poll(_POLL_S)

    def newest(self, topic: str, find: Callable[[Message], Found | None]) -> Found | None:
        """Return what `find` makes of the newest record of which it makes something, in a topic of one partition.

        The topic is read from its end backwards, each time ten times as far; raises as `read` does.
        """
        (there,) = self.ranges(topic)
        look_back, found = _LOOK_BACK, None
        while True:
            start = max(there.start, there.end - look_back)
            for _, message in self.read([replace(there, start=start)]):
                made = find(message)
                found = found if made is None else made
            if found is not None or start == there.start:
                return found
            look_back *= 10

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _range(self, topic: str, partition: int) -> Range:
        return Range(topic, partition, *bounds_of(self._consumer, self._prefix + topic, partition))

    def _come(self, wait_s: float) -> list[Message]:
        """Return records, and ends of partitions; what the client gets over by itself is passed over."""
        first = self._consumer.poll(wait_s)
        messages = [] if first is None else [first, *self._consumer.consume(_BATCH, 0)]
        if not any(map(Message.error, messages)):
            return messages
        return [message for message in messages if message.error() is None or _is_end(message)]


def read_topic(settings: Settings, topic: str, *, last: int | None = None) -> Iterator[Message]:
    """Yield the records of a topic, up to its end as it is now, or the last so many of each partition; raises as `TopicReader` does."""
    with TopicReader(settings, [topic]) as reader:
        ranges = reader.ranges(topic)
        if last is not None:
            ranges = [replace(one, start=max(one.start, one.end - last)) for one in ranges]
        for _, message in reader.read(ranges):
            yield message


def last_by_key(settings: Settings, topic: str) -> dict[bytes, Message]:
    """Return the newest record of each key, in the order of the first one; deleted keys are left out. All of it is held."""
    newest: dict[bytes, Message] = {}
    for message in read_topic(settings, topic):
        newest[message.key() or b""] = message
    return {key: message for key, message in newest.items() if message.value() is not None}


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


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None or is_passing(error):
        return False
    if error.code() != KafkaError._PARTITION_EOF:
        raise ServiceError(expected="records", got=error.str(), where=str(message.topic()), do="run `penstock status`")
    return True
