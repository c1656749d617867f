"""answers → one producer → the topics that clients chose: an answer that cannot be delivered is given up, and nothing else waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message

from dataflows.kafka import Outgoing, Properties
from dataflows.kafka.clients import QUIET_S, Faults, make_producer
from dataflows.kafka.errors import cause

LOOK_S = 0.2
"""Longest wait for the broker to say which topics there are."""
DELIVERY_S = 30.0
"""Longest time that an answer waits for its topic."""
ROOM_S = 0.2
"""Longest wait for room in a full queue."""
CLOSE_S = 5.0

logger = logging.getLogger("penstock.replies")


class ReplySink(DynamicSink[Outgoing]):
    """Writes answers to `feed.responses` and to the reply topics of clients.

    A KafkaSink keeps every record or ends the flow. An answer is worth less: whoever asked has stopped waiting after a few seconds, and a
    client's topic may be gone, full, too small or closed to us. So what is not delivered within 30 s, or refused by the broker, is given
    up: counted, and logged at most once in ten seconds for each topic. No epoch waits for an answer. A request is committed when its
    answer is delivered or given up; one that was under way in a crash is answered again.

    Parameters
    ----------
    connection
        librdkafka properties, ``bootstrap.servers`` at least.
    request_bytes
        What the producer may send at once, in bytes: the largest answer and what stands around it. librdkafka's own bound is less than
        what `feed.responses` takes.
    on_settled
        Called with the ``tag`` of each answer that was delivered or given up, on the flow's thread.
    on_given_up
        Called at each answer that was not delivered.
    """

    def __init__(
        self, connection: Properties, *, request_bytes: int, on_settled: Callable[[Any], None], on_given_up: Callable[[], None]
    ) -> None:
        self.on_settled = on_settled
        self.on_given_up = on_given_up
        self._logged_at: dict[str, float] = {}
        own = {
            "linger.ms": 0,
            "acks": "1",
            "message.timeout.ms": int(DELIVERY_S * 1000),
            "message.max.bytes": request_bytes,
            "topic.metadata.propagation.max.ms": 1_000,
            "partitioner": "consistent",
        }
        self._producer = make_producer(connection, own, Faults("replies"))

    def partitions(self) -> Mapping[str, int]:
        """Return the number of partitions of every topic; the producer itself knows of new ones from then on.

        Raises
        ------
        KafkaException
            If the broker does not answer within 200 ms.
        """
        topics = self._producer.list_topics(timeout=LOOK_S).topics
        return {name: len(found.partitions) for name, found in topics.items() if found.partitions}

    def poll(self) -> None:
        """Serve delivery reports, on the flow's thread."""
        self._producer.poll(0)

    def build(self, step_id: str, worker_index: int, worker_count: int) -> ReplySinkPart:
        """Return the part of this process."""
        return ReplySinkPart(self)

    def write(self, item: Outgoing) -> None:
        """Hand an answer to the producer, or give it up; never raises."""
        for may_wait in (True, False):
            try:
                self._producer.produce(
                    item.topic,
                    item.value,
                    item.key,
                    item.partition,
                    headers=item.headers,  # type: ignore[arg-type]  # list is invariant; bytes are what it takes
                    on_delivery=partial(self._report, item),
                )
            except BufferError:
                if may_wait:
                    self._producer.poll(ROOM_S)
                else:
                    self._settle(item, KafkaError(KafkaError._QUEUE_FULL))
            except KafkaException as exception:
                self._settle(item, cause(exception))
                return
            else:
                return

    def close(self) -> None:
        """Wait a little for what is under way, drop the rest, and leave."""
        self._producer.flush(CLOSE_S)
        self._producer.purge()
        self._producer.close()

    def _report(self, item: Outgoing, error: KafkaError | None, _message: Message) -> None:
        self._settle(item, error)

    def _settle(self, item: Outgoing, error: KafkaError | None) -> None:
        if error is not None:
            self.on_given_up()
            self._log(item, error)
        self.on_settled(item.tag)

    def _log(self, item: Outgoing, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(item.topic, -QUIET_S) >= QUIET_S:
            self._logged_at[item.topic] = now
            logger.warning("an answer was not delivered to %s[%d]: %s", item.topic, item.partition, error.str())


class ReplySinkPart(StatelessSinkPartition[Outgoing]):
    """The part of a :class:`ReplySink`.

    Parameters
    ----------
    sink
        Where to write.
    """

    def __init__(self, sink: ReplySink) -> None:
        self._sink = sink

    def write_batch(self, items: list[Outgoing]) -> None:
        """Write answers in order; none of them ends the flow."""
        for item in items:
            self._sink.write(item)
        self._sink.poll()

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
