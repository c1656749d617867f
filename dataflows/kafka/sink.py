"""items that name their topic → one producer → topics; no epoch closes before its output is acknowledged."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message

from dataflows.kafka.clients import Deadline, Faults, Properties, count_partitions, make_producer
from dataflows.kafka.errors import cause
from dataflows.kafka.outgoing import Outgoing
from dataflows.kafka.sizes import Sizes
from schemas.broker_errors import is_missing, is_passing
from schemas.errors import TransportError
from schemas.partition import partition_for

LOOKUP_S = 5.0
SLICE_S = 0.2


class KafkaSink(FixedPartitionedSink[Sequence[Outgoing], int]):
    """Writes to the topic that each item names, through one producer of this process. Use :func:`send` to put it into a flow.

    bytewax closes an epoch when the sink's ``snapshot`` has returned; here that waits until the broker has acknowledged everything
    written so far. So a ``kill -9`` at any point repeats output of the open epoch and never loses any. Between epochs nothing waits.

    A message that is larger than its topic takes is cut, or a dead letter goes out in its place (:class:`Sizes`); its tag is given back
    all the same. Messages that can never be delivered (unknown topic, timed out after ``message.timeout.ms``) end the flow with an
    error. A full queue blocks the flow until the broker takes more. While the broker is away, so does the end of an epoch.

    Parameters
    ----------
    connection
        librdkafka properties, ``bootstrap.servers`` at least; they overrule our defaults.
    sizes
        What each topic takes; None leaves it to the broker to refuse what is too large, which ends the flow.
    linger
        How long a message may wait for company: zero for replies (5 ms cost 6 ms a hop), 5 ms for streams.
    acks
        Whose acknowledgement counts: ``all`` in-sync replicas or the leader alone (``1``).
    idempotent
        Whether retries inside the producer neither repeat nor reorder; needs ``acks="all"``.
    on_delivered
        Called with the ``tag`` of each tagged item that was acknowledged, on the flow's thread.
    timeout
        How long a topic may be unknown, and how long a message may wait for the broker, before the flow ends.
    name
        Name of this part in the recovery store; must stay the same from run to run.

    Raises
    ------
    ValueError
        When ``idempotent`` is asked for with less than ``acks="all"``.
    """

    def __init__(
        self,
        connection: Properties,
        *,
        sizes: Sizes | None = None,
        linger: timedelta = timedelta(milliseconds=5),
        acks: Literal["all", "1"] = "all",
        idempotent: bool = True,
        on_delivered: Callable[[Any], None] | None = None,
        timeout: timedelta = timedelta(minutes=2),
        name: str = "kafka",
    ) -> None:
        if idempotent and acks != "all":
            text = f"expected acks 'all' of an idempotent producer, got {acks!r}, at acks; pass idempotent=False"
            raise ValueError(text)
        self.connection = connection
        self.sizes = sizes
        self.linger = linger
        self.acks = acks
        self.idempotent = idempotent
        self.on_delivered = on_delivered
        self.timeout = timeout
        self.name = name
        self._part: KafkaSinkPart | None = None

    def list_parts(self) -> list[str]:
        """Return the one part of this process."""
        return [self.name]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "KafkaSinkPart":
        """Return the part; it meets the broker at its first message."""
        self._part = KafkaSinkPart(self, f"{step_id}.{for_part}", resume_state or 0)
        return self._part

    def poll(self) -> None:
        """Serve delivery reports without writing, on the flow's thread: for tags that must not wait for the next output."""
        if self._part is not None:
            self._part.poll()


class KafkaSinkPart(StatefulSinkPartition[Sequence[Outgoing], int]):
    """The part of a :class:`KafkaSink`: its producer and what went wrong.

    Parameters
    ----------
    sink
        Where to write and how.
    where
        Which part this is, for logs and errors.
    written
        How many messages earlier runs had acknowledged.
    """

    def __init__(self, sink: KafkaSink, where: str, written: int) -> None:
        self._sink = sink
        self._written = written
        self._faults = Faults(where)
        self._failed: TransportError | None = None
        self._counts: dict[str, int] = {}
        self._closed = False
        own: dict[str, object] = {
            "linger.ms": sink.linger.total_seconds() * 1000,
            "acks": sink.acks,
            "enable.idempotence": sink.idempotent,
            "message.timeout.ms": int(sink.timeout.total_seconds() * 1000),
            "on_delivery": self._on_failure,
            "delivery.report.only.error": sink.on_delivered is None,
        }
        if sink.sizes is not None:
            own["message.max.bytes"] = sink.sizes.request_bytes
        self._producer = make_producer(sink.connection, own, self._faults)

    def write_batch(self, values: list[Sequence[Outgoing]]) -> None:
        """Hand messages to the producer, in order.

        Raises
        ------
        TransportError
            When a message, now or earlier, can never be delivered.
        """
        for items in values:
            for item in items:
                self._write(item if self._sink.sizes is None else self._sink.sizes.fit(item))
            self._written += len(items)
        self.poll()

    def snapshot(self) -> int:
        """Wait until all output is acknowledged; return how many messages were.

        Raises
        ------
        TransportError
            When a message can never be delivered.
        """
        while self._producer.flush(SLICE_S):
            self._raise_failure()
        self._raise_failure()
        return self._written

    def close(self) -> None:
        """Wait until all output is acknowledged, and leave."""
        self.snapshot()
        self._closed = True
        self._producer.close()

    def poll(self) -> None:
        """Serve delivery reports.

        Raises
        ------
        TransportError
            When a message can never be delivered.
        """
        if not self._closed:
            self._producer.poll(0)
            self._raise_failure()

    def _write(self, item: Outgoing) -> None:
        partition = item.partition
        if partition < 0:
            key = item.key if item.key is not None else item.value or b""
            partition = partition_for(key, self._counts.get(item.topic) or self._count(item.topic))
        while True:
            try:
                self._producer.produce(
                    item.topic,
                    item.value,
                    item.key,
                    partition,
                    headers=item.headers,  # type: ignore[arg-type]  # list is invariant; bytes are what it takes
                    timestamp=item.timestamp_ms or 0,
                    on_delivery=None if item.tag is None else self._reporter(item.tag),
                )
            except BufferError:
                self._producer.poll(SLICE_S)
                self._raise_failure()
            except KafkaException as exception:
                raise self._undelivered(cause(exception), item.topic, partition, item.key, item.value) from exception
            else:
                return

    def _count(self, topic: str) -> int:
        patience = Deadline(self._sink.timeout.total_seconds())
        metadata_patience = Deadline(min(LOOKUP_S, self._sink.timeout.total_seconds()))
        while True:
            try:
                count = self._counts[topic] = count_partitions(self._producer, topic, LOOKUP_S)
            except KafkaException as exception:
                error = cause(exception)
                if not (is_missing(error) and not metadata_patience.over) and not (is_passing(error) and not patience.over):
                    got = f"{error.name()}: {error.str()}"
                    raise TransportError(expected=f"topic {topic}", got=got, where=self._faults.where) from exception
                self._producer.poll(SLICE_S)
            else:
                return count

    def _reporter(self, tag: object) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._on_failure(error, message)
            elif self._sink.on_delivered is not None:
                self._sink.on_delivered(tag)

        return report

    def _on_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            partition = -1 if message.partition() is None else message.partition()
            self._failed = self._undelivered(error, message.topic(), partition, message.key(), message.value())

    def _undelivered(
        self, error: KafkaError, topic: str | None, partition: int | None, key: bytes | None, value: bytes | None
    ) -> TransportError:
        what = f"{len(value or b'')} bytes under key {(key or b'')[:80]!r}"
        where = f"{topic}[{partition}] of {self._faults.where}"
        return TransportError(expected=f"delivery of {what}", got=f"{error.name()}: {error.str()}", where=where)

    def _raise_failure(self) -> None:
        self._faults.raise_fatal()
        if self._failed is not None:
            raise self._failed


def send(step_id: str, up: Stream[Outgoing], sink: Sink[Any]) -> None:
    """Write a stream of messages: bundled for a :class:`KafkaSink`, as it comes for any other sink (a test's list, say).

    Parameters
    ----------
    step_id
        Unique id of the output step.
    up
        Messages to write.
    sink
        A :class:`KafkaSink`, or any sink of :class:`Outgoing`.
    """
    if not isinstance(sink, KafkaSink):
        op.output(step_id, up, sink)
        return

    def bundle(items: list[Outgoing]) -> list[tuple[str, list[Outgoing]]]:
        return [("", items)] if items else []

    op.output(step_id, op.flat_map_batch(f"{step_id}_bundle", up, bundle), sink)
