"""One member of a consumer group: its share of the requests, what of it is not done, and the side topics that it reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bytewax.inputs import StatelessSourcePartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflows.kafka.batch import Offsets, RequestBatch, SideBatch
from dataflows.kafka.clients import (
    Deadline,
    Faults,
    Properties,
    close,
    logger,
    make_consumer,
    part_errors,
    read_batch,
)
from dataflows.kafka.commits import Commits, commit_now, lags
from dataflows.kafka.errors import cause
from dataflows.kafka.outstanding import Outstanding
from dataflows.kafka.reader import AT_ONCE, KafkaPart, Reading
from dataflows.kafka.shutdown import Shutdown
from schemas.broker_errors import is_missing, is_passing
from schemas.errors import TransportError

LEAVE_S = 2.0


@dataclass(kw_only=True)
class Membership:
    """What a member reads and how, as the parameters of ``GroupSource`` say, and how far it has come."""

    connection: Properties
    topic: str
    group: str
    side_topics: Sequence[str]
    side_start: Offsets
    instance_id: str | None
    session_timeout: timedelta
    batch_size: int
    side_batch_size: int
    wait: timedelta
    drain: timedelta
    on_turn: Callable[[], None] | None
    shutdown: Shutdown
    start_timeout: timedelta
    lag: Offsets = field(default_factory=dict)


class GroupPart(StatelessSourcePartition[SideBatch | RequestBatch]):
    """The part of a ``GroupSource``: the member, the reader of the side topics, and what is not done yet.

    Parameters
    ----------
    membership
        What to read and how; told how far it has come.
    where
        Which part this is, for logs and errors.
    """

    def __init__(self, membership: Membership, where: str) -> None:
        self.joined = False
        self.owned: dict[int, Outstanding | None] = {}
        self._membership = membership
        self._where = where
        self._faults = Faults(f"{where}.requests")
        self._side = _side_reader(membership, where)
        self._consumer: Consumer | None = None
        self._patience = Deadline(membership.start_timeout.total_seconds())
        self._drain: Deadline | None = None
        self._commits = Commits()
        self._is_leaving = False

    @property
    def caught_up(self) -> bool:
        """Whether every side topic has been read to its end."""
        return self._side is None or self._side.caught_up

    def next_batch(self) -> list[SideBatch | RequestBatch]:
        """Return what is new on the side topics, then requests; or nothing.

        Raises
        ------
        StopIteration
            When the end was asked for and all requests are done or ``drain`` is over.
        TransportError
            When a client or a partition cannot go on.
        """
        membership = self._membership
        if membership.on_turn is not None:
            membership.on_turn()
        if membership.shutdown.requested:
            return self._finish()
        turn: list[SideBatch | RequestBatch] = []
        if self._side is not None:
            news = self._side.read(membership.side_batch_size, 0.0 if self._side.caught_up else 0.02)
            if news:
                turn.append(SideBatch(news))
        if self._consumer is None:
            if self.caught_up:
                self._consumer = self._join()
            return turn
        requests = self._read(self._consumer, 0.0 if turn else membership.wait.total_seconds())
        if requests:
            turn.append(RequestBatch(requests))
        self._show(self._consumer)
        return turn

    def next_awake(self) -> datetime:
        """Return a time that has passed, or a moment from now at the end, when only acknowledgements are awaited."""
        return AT_ONCE if self._drain is None else datetime.now(UTC) + timedelta(milliseconds=5)

    def done(self, partition: int, offset: int) -> None:
        """Note that a request is done."""
        tracked = self.owned.get(partition)
        if tracked is not None:
            tracked.done(offset)

    def close(self) -> None:
        """Commit what is done and leave the group."""
        if self._consumer is not None:
            self._leave(self._consumer)
        if self._side is not None:
            self._side.close()

    def _join(self) -> Consumer:
        membership = self._membership
        own: dict[str, str | int] = {
            "group.id": membership.group,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(membership.session_timeout.total_seconds() * 1000),
            "heartbeat.interval.ms": max(100, int(membership.session_timeout.total_seconds() * 1000 / 6)),
            "auto.offset.reset": "earliest",
        }
        if membership.instance_id is not None:
            own["group.instance.id"] = membership.instance_id
        consumer = make_consumer(membership.connection, own, self._faults, self._commits.on_commit)
        consumer.subscribe([membership.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        return consumer

    def _leave(self, consumer: Consumer) -> None:
        self._commits.finish(consumer, self._committable(self.owned))
        self._is_leaving = True
        # Unsubscribing makes a static member leave too, which close() does not; and it runs the rebalance here, where librdkafka
        # copes with it: left to close(), it now and then waits for itself for ever.
        try:
            consumer.unsubscribe()
        except KafkaException as exception:
            logger.warning("%s: %s", self._where, cause(exception).str())
        patience = Deadline(LEAVE_S)
        while (consumer.poll(0.01) is not None or self.owned) and not patience.over:
            pass
        close(consumer)

    def _read(self, consumer: Consumer, wait_s: float) -> list[Message]:
        messages, bad = part_errors(read_batch(consumer, self._membership.batch_size, wait_s))
        self._faults.raise_fatal()
        for event in bad:
            self._on_error(event.error())
        if not self.owned.keys() >= set(map(Message.partition, messages)):
            # A rebalance came between two messages of this batch; the new owner reads what was not handed out.
            messages = [message for message in messages if message.partition() in self.owned]
        for partition, offset in zip(map(Message.partition, messages), map(Message.offset, messages), strict=True):
            if partition is not None and offset is not None:
                self._track(partition, offset)
        return messages

    def _track(self, partition: int, offset: int) -> None:
        tracked = self.owned[partition]
        if tracked is None:
            tracked = self.owned[partition] = Outstanding(offset)
        tracked.took(offset)

    def _on_error(self, error: KafkaError | None) -> None:
        if error is None:
            return
        if not is_passing(error) and not (is_missing(error) and not self._patience.over):
            where = f"{self._membership.topic} of {self._where}"
            raise TransportError(expected="requests", got=f"{error.name()}: {error.str()}", where=where)
        logger.warning("%s: %s", self._where, error.str())

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        self.owned.update({part.partition: None for part in partitions})
        logger.info("%s: took over partitions %s", self._where, [part.partition for part in partitions])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        leaving = self._forget(partitions)
        logger.info("%s: gave up partitions %s", self._where, sorted(leaving))
        if not self._is_leaving:
            commit_now(consumer, self._committable(leaving))

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget(partitions)
        logger.warning("%s: lost partitions %s", self._where, [part.partition for part in partitions])

    def _forget(self, partitions: list[TopicPartition]) -> dict[int, Outstanding | None]:
        for part in partitions:
            self._commits.forget(part.topic, part.partition)
        return {part.partition: self.owned.pop(part.partition, None) for part in partitions}

    def _committable(self, parts: Mapping[int, Outstanding | None]) -> Offsets:
        topic = self._membership.topic
        return {(topic, partition): part.commit_offset for partition, part in parts.items() if part is not None}

    def _show(self, consumer: Consumer) -> None:
        """Commit what is done and note the lag, about once a second."""
        if not self._commits.due:
            return
        reached = self._committable(self.owned)
        side = {} if self._side is None else self._side.lag()
        self._membership.lag = {**side, **lags(consumer, reached)}
        self._commits.commit(consumer, reached)

    def _finish(self) -> list[SideBatch | RequestBatch]:
        if self._drain is None:
            self._drain = Deadline(self._membership.drain.total_seconds())
        if self._drain.over or not any(self.owned.values()):
            raise StopIteration
        return []


def _side_reader(membership: Membership, where: str) -> KafkaPart | None:
    if not membership.side_topics:
        return None
    side = Reading(
        connection=membership.connection,
        topics=membership.side_topics,
        group=None,
        start=membership.side_start,
        out_of_range="earliest",
        start_timeout=membership.start_timeout,
    )
    return KafkaPart(side, f"{where}.side", {}, watch_end=True)
