"""The keyed side of the label join: which shards a worker owns, what each is told, and the bytewax logic around its join."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec
from bytewax.operators import StatefulBatchLogic
from confluent_kafka import Message

from dataflows.checkpoint import Saved, Taken
from dataflows.decoding import decode_or_count
from dataflows.kafka import Batch
from dataflows.kafka.batch import Offsets
from dataflows.part import Count
from dataflows.progress import Progress
from operators.base import State
from operators.joins.inputs import Happened, Input, Reached, Served
from operators.joins.pages import ServedPart
from operators.joins.served_outcomes import ServedOutcomes
from schemas.learning import LabelledExample
from schemas.partition import shards_of
from schemas.sharding import SHARDS, shard_of
from schemas.telemetry import Event

TICK = timedelta(milliseconds=100)
EVERY = timedelta(seconds=2)
"""How often a shard is saved while it has something new: what is done again after a crash is at most this old."""


class Owned:
    """The user shards of one worker, and the partitions where their users stand.

    The partitions of both topics and the shards are folded into as many cells as divides them all, and the worker owns a range of cells;
    with n partitions each, a divisor of 16, that is a range of partitions.

    Parameters
    ----------
    partitions
        How many each topic has.
    worker, workers
        Which of how many it is.

    Raises
    ------
    ValueError
        If a worker would own nothing.

    Examples
    --------
    >>> owned = Owned({"served": 4, "events": 4}, worker=1, workers=2)
    >>> owned.partitions["events"], owned.shards
    ([2, 3], [2, 3, 6, 7, 10, 11, 14, 15])
    """

    def __init__(self, partitions: Mapping[str, int], *, worker: int = 0, workers: int = 1) -> None:
        cells = math.gcd(SHARDS, *partitions.values())
        if workers > cells:
            text = f"expected at most {cells} workers for {dict(partitions)} partitions, got {workers}, at PENSTOCK_WORKERS"
            raise ValueError(text)
        mine = shards_of(cells, worker, workers)
        self.counts = dict(partitions)
        self.shards = [shard for shard in range(SHARDS) if shard % cells in mine]
        self.partitions = {topic: [one for one in range(n) if one % cells in mine] for topic, n in partitions.items()}

    def partitions_of(self, topic: str, shard: int) -> list[int]:
        """Return the partitions of a topic where a shard's users may stand: one if their number divides that of the shards."""
        n = self.counts[topic]
        common = math.gcd(n, SHARDS)
        return [partition for partition in range(n) if partition % common == shard % common]


class Turn(msgspec.Struct, frozen=True):
    """What a batch holds for one shard, and where reading goes on after it."""

    shard: int
    inputs: list[Input]
    next: Offsets


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A shard at one moment.

    Parameters
    ----------
    shard
        Its number.
    next
        By (topic, partition), the offset of the next record to read.
    state
        What its join's `snapshot` returned.
    """

    shard: int
    next: Offsets
    state: State

    def taken(self) -> Taken:
        """Return it as it is written."""
        return Taken(self.next, msgspec.msgpack.encode(self.state), {}, is_whole=True)

    @classmethod
    def of(cls, shard: int, saved: Saved) -> Checkpoint:
        """Return what was written."""
        return cls(shard=shard, next=saved.offsets, state=msgspec.msgpack.decode(saved.head))


class Inputs:
    """Reads batches of both topics into what each shard must know: its pages and events, and how far the topics are.

    Parameters
    ----------
    served, events
        Names of the two topics.
    owned
        The shards of this worker.
    progress
        Takes note of what was read.
    count
        Counts what cannot be read (`undecodable`), what stands on a partition that is not its person's and is no shard's of this worker
        (`misplaced`), and all that is read (`records`).
    saved
        The checkpoints from which the shards go on; what they have read already is passed over.
    """

    def __init__(
        self, *, served: str, events: str, owned: Owned, progress: Progress, count: Count, saved: Mapping[int, Checkpoint] | None = None
    ) -> None:
        self.served = served
        self.events = events
        self.owned = owned
        self.progress = progress
        self.count = count
        self.saved = dict(saved or {})
        self._marks = {shard: self.saved[shard].next if shard in self.saved else {} for shard in owned.shards}
        self._places = {shard: {topic: owned.partitions_of(topic, shard) for topic in (served, events)} for shard in owned.shards}
        self._stamps: dict[tuple[str, int], int] = {}

    def start(self) -> Offsets:
        """Return where to read on: the first offset that a shard of the partition has not read; the earliest if one has no checkpoint."""
        found: Offsets = {}
        for topic, partitions in self.owned.partitions.items():
            for partition in partitions:
                marks = [self._marks[shard].get((topic, partition)) for shard, of in self._places.items() if partition in of[topic]]
                known = [mark for mark in marks if mark is not None]
                if len(known) == len(marks):
                    found[topic, partition] = min(known)
        return found

    def by_shard(self, batch: Batch) -> list[tuple[str, Turn]]:
        """Return, per shard, what of a batch concerns it, in order; then how far its partitions are."""
        inputs: dict[int, list[Input]] = {shard: [] for shard in self.owned.shards}
        for message in batch:
            topic, partition, stamp_ms = str(message.topic()), int(message.partition() or 0), message.timestamp()[1]
            self._stamps[topic, partition] = stamp_ms
            one = self._read(topic, message, stamp_ms)
            if one is not None:
                shard = shard_of(one.event.user_id if isinstance(one, Happened) else one.record.user_id)
                if shard not in inputs:
                    self.count("misplaced", 1)
                elif int(message.offset() or 0) >= self._marks[shard].get((topic, partition), 0):
                    inputs[shard].append(one)
        following = batch.next_offsets()
        for topic, partition in following:
            self.progress.note(topic, partition, self._stamps[topic, partition])
        self.count("records", len(batch))
        for shard in self.owned.shards:
            inputs[shard].append(self.reached(shard, lambda topic, partition: self._stamps.get((topic, partition), 0)))
        return [(str(shard), Turn(shard, some, following)) for shard, some in inputs.items()]

    def reached(self, shard: int, until: Callable[[str, int], int]) -> Reached:
        """Return how far both topics are for a shard, given how far each partition is."""
        places = self._places[shard]
        served, events = (min(until(topic, partition) for partition in places[topic]) for topic in (self.served, self.events))
        return Reached(events_ms=events, served_ms=served)

    def advanced(self, shard: int, offsets: Offsets, following: Offsets) -> Offsets:
        """Return a shard's next offsets after a batch: of its own partitions, and never less than before."""
        places = self._places[shard]
        mine = {place: offset for place, offset in following.items() if place[1] in places[place[0]]}
        return {**offsets, **{place: max(offset, offsets.get(place, 0)) for place, offset in mine.items()}}

    def _read(self, topic: str, message: Message, stamp_ms: int) -> Served | Happened | None:
        if topic == self.served:
            page = decode_or_count(ServedPart, message.value(), self.count)
            return None if page is None else Served(page, stamp_ms)
        event = decode_or_count(Event, message.value(), self.count)
        return None if event is None else Happened(event, stamp_ms)


class Shard(StatefulBatchLogic[Turn, LabelledExample | Checkpoint, None]):
    """The join of one user shard; while it has open views it asks every 100 ms whether silence has closed them.

    Every two seconds in which it came further, a checkpoint follows its examples.

    Parameters
    ----------
    make
        Makes the join of a shard.
    inputs
        Knows how far the topics are, and from which checkpoint the shard goes on.
    saves
        Whether to make checkpoints.
    """

    def __init__(self, make: Callable[[int], ServedOutcomes], inputs: Inputs, *, saves: bool) -> None:
        self.make = make
        self.inputs = inputs
        self.saves = saves
        self.shard = -1
        self._join: ServedOutcomes | None = None
        self._counted: Counter[str] = Counter()
        self._next: Offsets = {}
        self._is_new = False
        self._due = 0.0

    def on_batch(self, values: list[Turn]) -> tuple[Iterable[LabelledExample | Checkpoint], bool]:
        """Take in what came."""
        join = self._join or self._begin(values[0].shard)
        out = [example for turn in values for example in join.on_batch(turn.inputs)]
        for turn in values:
            self._next = self.inputs.advanced(self.shard, self._next, turn.next)
            self._is_new = True
        self._count(join)
        return [*out, *self._checkpoint()], StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[LabelledExample | Checkpoint], bool]:
        """Close what silence has closed."""
        out: list[LabelledExample] = []
        if self._join is not None:
            out = self._join.on_batch([self.inputs.reached(self.shard, self.inputs.progress.reached)])
            self._count(self._join)
        return [*out, *self._checkpoint()], StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[LabelledExample | Checkpoint], bool]:
        """Save what is new at a clean end."""
        self._due = 0.0
        return self._checkpoint(), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Return the next tick, or None when time alone changes nothing."""
        is_idle = self._join is None or self._join.is_idle
        return None if is_idle and not (self.saves and self._is_new) else datetime.now(UTC) + TICK

    def snapshot(self) -> None:
        """Return nothing: checkpoints are the state."""

    def _begin(self, shard: int) -> ServedOutcomes:
        self.shard, join = shard, self.make(shard)
        saved = self.inputs.saved.pop(shard, None)
        if saved is not None:
            join.restore(saved.state)
            self._next = saved.next
        self._join, self._counted = join, Counter(join.counts)
        # Shards take turns, so that none waits for all the others' checkpoints.
        self._due = time.monotonic() + EVERY.total_seconds() * (1 + shard / SHARDS)
        return join

    def _checkpoint(self) -> list[Checkpoint]:
        if not self.saves or not self._is_new or self._join is None or time.monotonic() < self._due:
            return []
        self._due, self._is_new = time.monotonic() + EVERY.total_seconds(), False
        return [Checkpoint(shard=self.shard, next=self._next, state=self._join.snapshot())]

    def _count(self, join: ServedOutcomes) -> None:
        for name, number in (join.counts - self._counted).items():
            self.inputs.count(name, number)
            self._is_new = True
        self._counted = Counter(join.counts)
