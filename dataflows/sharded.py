"""A step whose state is kept by shard: an operator for each, with checkpoints of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream, StatefulBatchLogic

from dataflows.bucketed import Pace
from dataflows.checkpoint import Taken
from dataflows.kafka.batch import Batch, Offsets
from dataflows.keeper import Keeper

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class ShardOperator(Protocol[In_contra, Out_co]):
    """An operator over one shard, its state a small head and rows by key: the same however the events are cut into batches."""

    @property
    def pending(self) -> bool:
        """Whether `on_time` has something to return."""

    def on_batch(self, batch: Sequence[In_contra]) -> Iterable[Out_co]:
        """Take in events."""

    def on_time(self, now_ms: int) -> Iterable[Out_co]:
        """Return what is due."""

    def pack_head(self) -> bytes:
        """Return what is in no row."""

    def changes(self) -> Mapping[str, bytes | None]:
        """Return the rows that changed since it was last asked, None for those that are gone; later events must not change these."""

    def restore(self, head: bytes, rows: Iterator[tuple[str, bytes]]) -> None:
        """Take back the head and every row."""


class Slice(NamedTuple):
    """What a batch holds for one shard, and where its inputs go on after that."""

    shard: int
    offsets: Offsets
    events: list[Any]


def sharded(
    step_id: str,
    up: Stream[Batch],
    *,
    read: Callable[[Batch], list[In]],
    make: Callable[[int], ShardOperator[In, Out]],
    keeper: Keeper,
    pace: Callable[[], Pace],
) -> Stream[Out]:
    """Run an operator per shard over a stream of batches; the number of a partition, the same on each topic, is that of its shard.

    What an operator takes in and gives out depends on the messages of its shard alone, so any number of processes that share out the
    shards, or of workers of a bytewax cluster, have the same results. The flow runs without recovery: its source starts where
    `keeper.start()` says, and `keeper.finish()` comes after its end.

    A checkpoint is taken when an epoch closes, and written when that epoch is through every sink: the source reads nothing of an epoch
    before. So after a crash output may come again, and none is missing.

    Parameters
    ----------
    step_id
        Unique id of the step.
    up
        Batches of messages of topics that have as many partitions each.
    read
        Decodes the messages of one shard.
    make
        Makes the operator of a shard, new.
    keeper
        Takes and writes the checkpoints.
    pace
        Makes what says, for one shard, when its `on_time` is called.
    """

    def build(_: None) -> _Shard[In, Out]:
        return _Shard(make, keeper, pace())

    def keyed(batch: Batch) -> Iterator[tuple[str, Slice]]:
        for shard, part in by_partition(batch).items():
            yield str(shard), Slice(shard, part.next_offsets(), read(part))

    opened: KeyedStream[Slice] = op.input(f"{step_id}_open", up.flow(), _Opened(keeper.shards))
    slices: KeyedStream[Slice] = op.flat_map(f"{step_id}_route", up, keyed)
    together: KeyedStream[Slice] = op.merge(f"{step_id}_merge", opened, slices)
    worked: Stream[tuple[str, Any]] = op.stateful_batch(step_id, together, build)
    return op.map(f"{step_id}_out", worked, lambda pair: pair[1])


def by_partition(batch: Batch) -> dict[int, Batch]:
    """Return the messages of each partition number, whatever their topic, order kept."""
    parted: dict[int, Batch] = {}
    for message in batch:
        partition = message.partition() or 0
        part = parted.get(partition)
        if part is None:
            part = parted[partition] = Batch([])
        part.messages.append(message)
    return parted


class _Shard(StatefulBatchLogic[Slice, Out, None], Generic[In, Out]):
    """One shard; which one it is, it learns from its first slice."""

    def __init__(self, make: Callable[[int], ShardOperator[In, Out]], keeper: Keeper, pace: Pace) -> None:
        self._make = make
        self._keeper = keeper
        self._pace = pace
        self._shard = -1
        self._operator: ShardOperator[In, Out] | None = None
        self._offsets: Offsets = {}
        self._is_over = False

    def on_batch(self, values: list[Slice]) -> tuple[Iterable[Out], bool]:
        """Let the operator work; that this came means that the epochs before are through."""
        operator = self._operator
        if operator is None:
            operator = self._open(values[0].shard)
        self._keeper.confirm(self._shard)
        out: list[Out] = []
        for one in values:
            self._offsets.update(one.offsets)
            if one.events:
                out += operator.on_batch(one.events)
        return out + self._ask() if self._pace.due else out, self.RETAIN

    def on_notify(self) -> tuple[Iterable[Out], bool]:
        """Ask the operator for what is due."""
        return (self._ask() if self._pace.due else ()), self.RETAIN

    def on_eof(self) -> tuple[Iterable[Out], bool]:
        """Ask once more; what is left is in the checkpoint that is taken now."""
        self._is_over = True
        return self._ask(), self.RETAIN

    def notify_at(self) -> datetime | None:
        """Return when to ask again."""
        return self._pace.due_at() if self._operator is not None and self._operator.pending else None

    def snapshot(self) -> None:
        """Take a checkpoint, if it is time; that an epoch closes means that the ones before it are through."""
        if self._operator is None:
            return
        self._keeper.confirm(self._shard)
        if self._is_over or self._keeper.is_due(self._shard):
            self._keeper.take(self._shard, Taken(dict(self._offsets), self._operator.pack_head(), self._operator.changes()))

    def _open(self, shard: int) -> ShardOperator[In, Out]:
        self._shard = shard
        operator = self._operator = self._make(shard)
        saved = self._keeper.checkpoints.load(shard)
        if saved is not None:
            self._offsets = saved.offsets
            operator.restore(saved.head, saved.rows)
        return operator

    def _ask(self) -> list[Out]:
        if self._operator is None or not self._operator.pending:
            return []
        started = time.monotonic()
        out = list(self._operator.on_time(time.time_ns() // 1_000_000))
        self._pace.asked()
        self._pace.spent(time.monotonic() - started)
        return out


class _Opened(FixedPartitionedSource[tuple[str, Slice], None]):
    """Names each shard once, so that its state is there before its first message, and what was left to say is said."""

    def __init__(self, shards: Sequence[int]) -> None:
        self.shards = shards

    def list_parts(self) -> list[str]:
        """Return the one part of this process."""
        return ["shards"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _OpenedPart:
        """Return the part."""
        return _OpenedPart([(str(shard), Slice(shard, {}, [])) for shard in self.shards])


class _OpenedPart(StatefulSourcePartition[tuple[str, Slice], None]):
    def __init__(self, slices: list[tuple[str, Slice]]) -> None:
        self._slices = slices

    def next_batch(self) -> list[tuple[str, Slice]]:
        """Return all shards, then end."""
        if not self._slices:
            raise StopIteration
        slices, self._slices = self._slices, []
        return slices

    def snapshot(self) -> None:
        """Save nothing."""
