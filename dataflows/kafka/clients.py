"""Consumers and producers as we want them, from the connection properties that settings give."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin._metadata import ClusterMetadata

from dataflows.kafka.batch import Offsets
from dataflows.kafka.errors import TransportError, cause

Properties: TypeAlias = Mapping[str, str | int | float | bool]
"""librdkafka properties: ``bootstrap.servers``, security, and whatever else must differ from our defaults."""

logger = logging.getLogger("penstock.kafka")

QUIET_S = 10.0
"""A fault that goes on is logged this often; a client without a broker reports some twenty a second."""

RECONNECT: Properties = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 1000}

CONSUMER: Properties = {
    **RECONNECT,
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
    "auto.offset.reset": "error",
}

PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
    }
)
"""Errors that librdkafka gets over by itself: brokers restart, leaders and coordinators move, members rejoin."""


def is_passing(error: KafkaError) -> bool:
    """Return whether the client will get over this error without us."""
    return not error.fatal() and (error.retriable() or error.code() in PASSING)


def is_missing(error: KafkaError) -> bool:
    """Return whether the broker does not know the topic, which may be new and not spread yet."""
    return error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}


class Faults:
    """Takes what librdkafka reports out of band: passing faults are logged, a fatal one is kept to be raised.

    Parameters
    ----------
    where
        Which client this is, for logs and errors.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.last: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._logged_at: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Serve as librdkafka's ``error_cb``."""
        self.last = error
        if error.fatal():
            self._fatal = error
        now = time.monotonic()
        if now - self._logged_at.get(error.code(), -QUIET_S) >= QUIET_S:
            self._logged_at[error.code()] = now
            logger.warning("%s: %s", self.where, error.str())

    def raise_fatal(self) -> None:
        """Raise the fatal fault, if there was one.

        Raises
        ------
        TransportError
            When the client cannot go on.
        """
        if self._fatal is not None:
            text = f"expected a working client, got fatal {self._fatal.name()}: {self._fatal.str()}, at {self.where}"
            raise TransportError(text)


def make_consumer(connection: Properties, own: Properties, faults: Faults) -> Consumer:
    """Return a consumer: our defaults, then the connection's properties, then what must not differ."""
    fixed = {"enable.auto.commit": False, "enable.auto.offset.store": False, "allow.auto.create.topics": False}
    callbacks = {"error_cb": faults, "on_commit": _log_commit}
    logger.addFilter(_is_news)
    return Consumer({**CONSUMER, **connection, **fixed, **own, **callbacks}, logger=logger)


def make_producer(connection: Properties, own: Mapping[str, object], faults: Faults) -> Producer:
    """Return a producer: our defaults, then the connection's properties, then what must not differ."""
    defaults: Properties = {**RECONNECT, "queue.buffering.max.messages": 100_000, "queue.buffering.max.kbytes": 65_536}
    logger.addFilter(_is_news)
    return Producer({**defaults, **connection, **own, "error_cb": faults}, logger=logger)


def count_partitions(client: Consumer | Producer, topic: str, timeout_s: float) -> int:
    """Return how many partitions a topic has.

    Raises
    ------
    KafkaException
        When the broker does not answer in time or does not know the topic.
    """
    metadata: ClusterMetadata = client.list_topics(topic, timeout=timeout_s)
    found = metadata.topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    if not found.partitions:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    return len(found.partitions)


def positions(consumer: Consumer, known: Offsets) -> Offsets:
    """Return the next offset of each known partition: where the consumer is, or else what is known."""
    moved = dict(known)
    for part in consumer.position([TopicPartition(topic, partition) for topic, partition in known]):
        if part.offset >= 0:
            moved[part.topic, part.partition] = part.offset
    return moved


def lags(consumer: Consumer, reached: Offsets) -> Offsets:
    """Return, per partition, how many offsets are left to read, by the watermarks of the last fetch; asks no broker."""
    left: Offsets = {}
    for (topic, partition), offset in reached.items():
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        if high >= 0:
            left[topic, partition] = max(0, high - offset)
    return left


def as_partitions(offsets: Offsets) -> list[TopicPartition]:
    """Return offsets in the client's form."""
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def commit_now(consumer: Consumer, offsets: Offsets) -> None:
    """Commit and wait for the answer; a failure is logged, because recovery does not rest on it."""
    if not offsets:
        return
    try:
        consumer.commit(offsets=as_partitions(offsets), asynchronous=False)
    except KafkaException as exception:
        logger.warning("offsets not committed: %s", cause(exception).str())


def read_batch(consumer: Consumer, most: int, wait_s: float) -> list[Message]:
    """Return what is there, at most ``most`` messages; wait only for the first one.

    A bare ``consume(n, t)`` waits the whole ``t`` unless it gets all ``n``, hence the two calls.
    """
    first = consumer.poll(wait_s)
    if first is None:
        return []
    rest = consumer.consume(most - 1, 0) if most > 1 else []
    return [first, *rest]


def part_errors(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Part (messages, error events), order kept; costs one C call a message when there is no error."""
    bad = list(filter(Message.error, messages))
    if not bad:
        return messages, bad
    return [message for message in messages if message.error() is None], bad


class Deadline:
    """A point in time until which a start is tried again.

    Parameters
    ----------
    seconds
        From now on.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._at


def _is_news(record: logging.LogRecord) -> bool:
    """Drop librdkafka's lines about lost connections: the same come to :class:`Faults`, which thins them out."""
    return not record.getMessage().startswith("FAIL [")


def _log_commit(error: KafkaError | None, partitions: Iterable[TopicPartition]) -> None:
    if error is not None and error.code() != KafkaError._NO_OFFSET:
        logger.warning("offsets of %d partitions not committed: %s", len(list(partitions)), error.str())
