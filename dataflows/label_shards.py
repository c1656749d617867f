"""The keyed side of the label join: what each user shard is told, and the bytewax logic around its join."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bytewax.operators import StatefulBatchLogic
from confluent_kafka import Message

from dataflows.kafka import Batch
from dataflows.part import Count
from dataflows.progress import Progress
from operators.base import State
from operators.joins.inputs import Happened, Input, Reached, Served
from operators.joins.pages import ServedPart
from operators.joins.served_outcomes import ServedOutcomes
from schemas.codec import DecodeError, decode
from schemas.learning import LabelledExample
from schemas.sharding import SHARDS, shard_of
from schemas.telemetry import Event

TICK = timedelta(milliseconds=100)


class Inputs:
    """Reads batches of both topics into what each shard must know: its pages and events, and how far the topics are.

    Parameters
    ----------
    served, events
        Names of the two topics.
    partitions
        How many partitions each has.
    progress
        Takes note of what was read.
    count
        Counts what cannot be read (`undecodable`), and all that is read (`records`).
    """

    def __init__(self, *, served: str, events: str, partitions: dict[str, int], progress: Progress, count: Count) -> None:
        self.served = served
        self.events = events
        self.progress = progress
        self.count = count
        self._shards = {topic: [_partitions_of(shard, n) for shard in range(SHARDS)] for topic, n in partitions.items()}
        self._stamps: dict[tuple[str, int], int] = {}

    def by_shard(self, batch: Batch) -> list[tuple[str, tuple[int, list[Input]]]]:
        """Return, per shard, what of a batch concerns it, in order; then how far its partitions are."""
        inputs: list[list[Input]] = [[] for _ in range(SHARDS)]
        for message in batch:
            topic, partition, stamp_ms = str(message.topic()), int(message.partition() or 0), message.timestamp()[1]
            self._stamps[topic, partition] = stamp_ms
            one = self._read(topic, message, stamp_ms)
            if one is not None:
                inputs[shard_of(one.event.user_id if isinstance(one, Happened) else one.record.user_id)].append(one)
        for topic, partition in batch.next_offsets():
            self.progress.note(topic, partition, self._stamps[topic, partition])
        self.count("records", len(batch))
        for shard in range(SHARDS):
            inputs[shard].append(self.reached(shard, lambda topic, partition: self._stamps.get((topic, partition), 0)))
        return [(str(shard), (shard, some)) for shard, some in enumerate(inputs)]

    def reached(self, shard: int, until: Callable[[str, int], int]) -> Reached:
        """Return how far both topics are for a shard, given how far each partition is."""
        served, events = (min(until(topic, partition) for partition in self._shards[topic][shard]) for topic in (self.served, self.events))
        return Reached(events_ms=events, served_ms=served)

    def _read(self, topic: str, message: Message, stamp_ms: int) -> Served | Happened | None:
        try:
            if topic == self.served:
                return Served(decode(ServedPart, message.value() or b""), stamp_ms)
            return Happened(decode(Event, message.value() or b""), stamp_ms)
        except DecodeError:
            self.count("undecodable", 1)
            return None


class Shard(StatefulBatchLogic[tuple[int, list[Input]], LabelledExample, State]):
    """The join of one user shard; while it has open views it asks every 100 ms whether silence has closed them."""

    def __init__(self, join: ServedOutcomes, inputs: Inputs, state: State | None) -> None:
        self.join = join
        self.inputs = inputs
        self.shard: int | None = None
        if state is not None:
            self.shard = state["shard"]
            join.restore(state["join"])
        self._counted = Counter(join.counts)

    def on_batch(self, values: list[tuple[int, list[Input]]]) -> tuple[list[LabelledExample], bool]:
        """Take in what came."""
        self.shard = values[0][0]
        out = [example for _, some in values for example in self.join.on_batch(some)]
        self._count()
        return out, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[list[LabelledExample], bool]:
        """Close what silence has closed."""
        out: list[LabelledExample] = []
        if self.shard is not None:
            out = self.join.on_batch([self.inputs.reached(self.shard, self.inputs.progress.reached)])
            self._count()
        return out, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Return the next tick, or None when time alone changes nothing."""
        return None if self.join.is_idle else datetime.now(UTC) + TICK

    def snapshot(self) -> State:
        """Return the join's state."""
        return {"shard": self.shard, "join": self.join.snapshot()}

    def _count(self) -> None:
        for name, number in (self.join.counts - self._counted).items():
            self.inputs.count(name, number)
        self._counted = Counter(self.join.counts)


def _partitions_of(shard: int, partitions: int) -> list[int]:
    """Return the partitions where a shard's users stand: one if the number of shards is a multiple of theirs, else any."""
    return [shard % partitions] if SHARDS % partitions == 0 else list(range(partitions))
