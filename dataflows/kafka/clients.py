"""Consumers and producers as we want them, from the connection properties that settings give."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from dataflows.logs import Quiet
from schemas.errors import TransportError

Properties: TypeAlias = Mapping[str, str | int | float | bool]
"""librdkafka properties: ``bootstrap.servers``, security, and whatever else must differ from our defaults."""

OnCommit: TypeAlias = Callable[[KafkaError | None, list[TopicPartition]], None]
"""What hears of the end of an asynchronous commit."""

logger = logging.getLogger("penstock.kafka")

CLOSE_S = 3.0

RECONNECT: Properties = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 1000}

CONSUMER: Properties = {
    **RECONNECT,
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
    "auto.offset.reset": "error",
}


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
        self._quiet = Quiet()

    def __call__(self, error: KafkaError) -> None:
        """Serve as librdkafka's ``error_cb``."""
        self.last = error
        if error.fatal():
            self._fatal = error
        if self._quiet.lets(error.code()):
            logger.warning("%s: %s", self.where, error.str())

    def raise_fatal(self) -> None:
        """Raise the fatal fault, if there was one.

        Raises
        ------
        TransportError
            When the client cannot go on.
        """
        if self._fatal is not None:
            got = f"fatal {self._fatal.name()}: {self._fatal.str()}"
            raise TransportError(expected="a working client", got=got, where=self.where)


def make_consumer(connection: Properties, own: Properties, faults: Faults, on_commit: OnCommit | None = None) -> Consumer:
    """Return a consumer: our defaults, then the connection's properties, then what must not differ."""
    fixed = {"enable.auto.commit": False, "enable.auto.offset.store": False, "allow.auto.create.topics": False}
    callbacks = {"error_cb": faults} if on_commit is None else {"error_cb": faults, "on_commit": on_commit}
    logger.addFilter(_is_news)
    return Consumer({**CONSUMER, **connection, **fixed, **own, **callbacks}, logger=logger)


def make_producer(connection: Properties, own: Mapping[str, object], faults: Faults) -> Producer:
    """Return a producer: our defaults, then the connection's properties, then what must not differ."""
    defaults: Properties = {**RECONNECT, "queue.buffering.max.messages": 100_000, "queue.buffering.max.kbytes": 65_536}
    logger.addFilter(_is_news)
    return Producer({**defaults, **connection, **own, "error_cb": faults}, logger=logger)


def count_partitions(client: Consumer | Producer | AdminClient, topic: str, timeout_s: float) -> int:
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


def close(consumer: Consumer) -> None:
    """Close a consumer, but do not wait for ever.

    librdkafka's close waits without bound for a broker that hangs, and now and then for itself when a rebalance is under way. What is
    not closed then is left to the end of the process; the broker notices by the session timeout.
    """
    closing = threading.Thread(target=consumer.close, daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        logger.warning("a consumer could not say goodbye within %.0f s; its group notices by the session timeout", CLOSE_S)


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
