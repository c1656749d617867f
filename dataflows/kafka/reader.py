"""One consumer, the partitions that it owns, and its position in them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from bytewax.inputs import StatefulSourcePartition
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from dataflows.kafka.batch import Batch, Offsets
from dataflows.kafka.clients import (
    Deadline,
    Faults,
    Properties,
    close,
    count_partitions,
    logger,
    make_consumer,
    part_errors,
    read_batch,
)
from dataflows.kafka.commits import Commits, as_partitions, lags, positions
from dataflows.kafka.errors import cause
from dataflows.kafka.shutdown import Shutdown
from dataflows.kafka.turns import Turns
from schemas.broker_errors import is_missing, is_passing
from schemas.errors import TransportError

Start: TypeAlias = Literal["earliest", "latest"] | Mapping[tuple[str, int], int]
"""Where to start without a snapshot; a partition that a mapping does not name starts at its earliest message."""

AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
"""An awake time that has always passed: the wait for messages is the poll, not the engine's 1 ms nap."""

LOOKUP_S = 2.0


@dataclass(kw_only=True)
class Reading:
    """What is read and how, as the parameters of ``KafkaSource`` say, and how far it has come."""

    connection: Properties
    topics: Sequence[str]
    group: str | None
    partitions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    start: Start = "earliest"
    end: Literal["never", "reached"] = "never"
    batch_size: int = 1_000
    wait: timedelta = timedelta(milliseconds=20)
    out_of_range: Literal["raise", "earliest"] = "raise"
    shutdown: Shutdown = field(default_factory=Shutdown)
    start_timeout: timedelta = timedelta(seconds=60)
    read: int = 0
    gaps: int = 0
    lag: Offsets = field(default_factory=dict)


class KafkaPart(StatefulSourcePartition[Batch, Offsets]):
    """The part of a ``KafkaSource``: its consumer and its position.

    Parameters
    ----------
    reading
        What to read and how; told how far it has come.
    where
        Which part this is, for logs and errors.
    resume
        The last snapshot; empty when there is none.
    watch_end
        Whether to note when each partition has once been read to its end.
    """

    def __init__(self, reading: Reading, where: str, resume: Offsets, *, watch_end: bool = False) -> None:
        self._reading = reading
        self._faults = Faults(where)
        self._next = dict(resume)
        self._commits = Commits()
        self._ended: set[tuple[str, int]] = set()
        self._turns = Turns()
        self._paused: set[tuple[str, int]] = set()
        self._is_open = False
        self._patience = Deadline(reading.start_timeout.total_seconds())
        own: Properties = {
            "group.id": reading.group or "penstock.shows.nothing",
            "enable.partition.eof": watch_end or reading.end == "reached",
        }
        self._consumer = make_consumer(reading.connection, own, self._faults, self._commits.on_commit)

    @property
    def caught_up(self) -> bool:
        """Whether each partition has once been read, and handed out, to its end; only known when watched."""
        return self._is_open and not self._turns and len(self._ended) == len(self._next)

    def next_batch(self) -> list[Batch]:
        """Return one batch or none.

        Raises
        ------
        StopIteration
            When the end was asked for or reached.
        TransportError
            When the client or a partition cannot go on.
        """
        reading = self._reading
        if reading.shutdown.requested or (reading.end == "reached" and self.caught_up):
            raise StopIteration
        messages = self.read(reading.batch_size, reading.wait.total_seconds())
        return [Batch(messages)] if messages else []

    def read(self, most: int, wait_s: float) -> list[Message]:
        """Return at most ``most`` messages, the partitions in turn; wait only for the first one.

        Raises
        ------
        TransportError
            When the client or a partition cannot go on.
        """
        if not self._is_open and not self._open():
            return []
        new, bad = part_errors(read_batch(self._consumer, most, 0.0 if self._turns else wait_s))
        self._faults.raise_fatal()
        for event in bad:
            self._on_error(event)
        messages = self._turns.take(new, most)
        self._next.update(Batch(messages).next_offsets())
        self._hold_back()
        self._reading.read += len(messages)
        self._show()
        return messages

    def lag(self) -> Offsets:
        """Return the messages left to read, per (topic, partition), at most a second old."""
        return dict(self._reading.lag)

    def next_awake(self) -> datetime:
        """Return a time that has passed."""
        return AT_ONCE

    def snapshot(self) -> Offsets:
        """Return the offset of the next message to hand out, of each partition."""
        return dict(self._next)

    def close(self) -> None:
        """Show the last position and leave."""
        if self._is_open and self._reading.group is not None:
            self._commits.finish(self._consumer, self.snapshot())
        close(self._consumer)

    def _open(self) -> bool:
        """Find out where to start and start there; return False while the broker does not say."""
        try:
            self._next = self._find_start(self._next)
        except KafkaException as exception:
            self._consumer.poll(0)
            self._wait_or_raise(cause(exception))
            return False
        self._consumer.assign(as_partitions(self._next))
        self._is_open = True
        return True

    def _wait_or_raise(self, error: KafkaError) -> None:
        self._faults.raise_fatal()
        if (is_missing(error) or is_passing(error)) and not self._patience.over:
            time.sleep(0.05)
            return
        last = "" if self._faults.last is None else f" ({self._faults.last.str()})"
        raise TransportError(
            expected=f"topics {', '.join(self._reading.topics)}",
            got=f"{error.name()}: {error.str()}{last}",
            where=self._faults.where,
            do="check the broker, its credentials and `penstock topics plan`",
        )

    def _find_start(self, resume: Offsets) -> Offsets:
        known = {topic for topic, _ in resume}
        begin: Offsets = {}
        for topic in self._reading.topics:
            for partition in self._owned(topic):
                place = (topic, partition)
                start: Start = "earliest" if topic in known else self._reading.start
                offset = resume.get(place)
                if offset is None and not isinstance(start, str):
                    offset = start.get(place)
                if offset is None:
                    low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=LOOKUP_S)
                    offset = high if start == "latest" else low
                begin[place] = offset
        if not resume.keys() <= begin.keys():
            left = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(resume.keys() - begin.keys()))
            logger.warning("%s: the snapshot names %s, which this process no longer reads", self._faults.where, left)
        return begin

    def _owned(self, topic: str) -> Sequence[int]:
        count = count_partitions(self._consumer, topic, LOOKUP_S)
        wanted = self._reading.partitions.get(topic, range(count))
        if not all(0 <= partition < count for partition in wanted):
            expected = f"partitions of {topic} below {count}"
            raise TransportError(expected=expected, got=str(list(wanted)), where=self._faults.where)
        return wanted

    def _on_error(self, event: Message) -> None:
        error = event.error()
        place = (event.topic() or "", event.partition() or 0)
        if error is None or (is_passing(error) and error.code() != KafkaError._AUTO_OFFSET_RESET):
            logger.warning("%s: %s", self._faults.where, error)
        elif error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(place)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._on_gap(place, error)
        else:
            where = f"{place[0]}[{place[1]}] of {self._faults.where}"
            raise TransportError(expected="messages", got=f"{error.name()}: {error.str()}", where=where)

    def _on_gap(self, place: tuple[str, int], error: KafkaError) -> None:
        reading = positions(self._consumer, self._next)
        offset = reading[place]
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=LOOKUP_S)
        gap = TransportError(
            expected=f"offset {offset}",
            got=f"a log from {low} to {high} ({error.str()})",
            where=f"{place[0]}[{place[1]}]",
            do="what is missing is in the archive, or start anew with out_of_range='earliest'",
        )
        if self._reading.out_of_range == "raise":
            raise gap
        self._reading.gaps += max(0, low - offset)
        logger.warning("%s: %s at %s; going on at the earliest", self._faults.where, gap.kind, gap.where)
        if not self._turns.holds(place):
            self._next[place] = low
        self._consumer.assign(as_partitions({**reading, place: low}))
        self._paused.clear()

    def _hold_back(self) -> None:
        """Read no further where much is held, until it is handed out."""
        full, drained = self._turns.full() - self._paused, self._turns.drained(self._paused)
        if full:
            self._consumer.pause([TopicPartition(*place) for place in full])
        if drained:
            self._consumer.resume([TopicPartition(*place) for place in drained])
        self._paused = (self._paused | full) - drained

    def _show(self) -> None:
        """Commit the position and note the lag, about once a second."""
        if not self._commits.due:
            return
        reached = self.snapshot()
        self._reading.lag = lags(self._consumer, reached)
        if self._reading.group is not None:
            self._commits.commit(self._consumer, reached)
