"""Where a consumer is: shown to others about once a second, as committed offsets and as lag."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from dataflows.kafka.batch import Offsets
from dataflows.kafka.clients import Deadline, logger
from dataflows.kafka.errors import cause

INTERVAL_S = 1.0
FINISH_S = 2.0


class Commits:
    """Commits offsets about once a second, those that changed or whose last commit failed."""

    def __init__(self) -> None:
        self._shown: Offsets = {}
        self._under_way = 0
        self._due_at = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time again; true once per interval."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + INTERVAL_S
        return True

    def commit(self, consumer: Consumer, reached: Offsets) -> None:
        """Commit what is new without waiting."""
        changed = {place: offset for place, offset in reached.items() if self._shown.get(place) != offset}
        if not changed:
            return
        self._shown.update(changed)
        self._under_way += 1
        try:
            consumer.commit(offsets=as_partitions(changed), asynchronous=True)
        except KafkaException as exception:
            self.on_commit(cause(exception), as_partitions(changed))

    def finish(self, consumer: Consumer, reached: Offsets) -> None:
        """Commit what is new and wait a moment for the answer; messages that come meanwhile are dropped."""
        self.commit(consumer, reached)
        patience = Deadline(FINISH_S)
        while self._under_way > 0 and not patience.over:
            consumer.poll(0.01)

    def forget(self, topic: str, partition: int) -> None:
        """Forget a partition that is another member's now."""
        self._shown.pop((topic, partition), None)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Hear of the end of a commit; what failed is committed again at the next turn."""
        self._under_way = max(0, self._under_way - 1)
        failed = [part for part in partitions if error is not None or part.error is not None]
        for part in failed:
            self.forget(part.topic, part.partition)
        if failed and (error is None or error.code() != KafkaError._NO_OFFSET):
            logger.warning("offsets of %d partitions not committed: %s", len(failed), error or failed[0].error)


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
