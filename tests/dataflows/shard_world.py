"""A flow over recorded messages with a step by shard: processes that die, come back and become more, and a cluster of bytewax workers."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition
from bytewax.testing import cluster_main
from confluent_kafka import Message

from dataflows.bucketed import Pace
from dataflows.checkpoint import Checkpoints
from dataflows.kafka import Batch
from dataflows.kafka.batch import Offsets
from dataflows.keeper import Keeper
from dataflows.objects import Objects
from dataflows.sharded import sharded
from schemas.partition import partition_for

SHARDS = 4
Told = tuple[str, int]
"""A name, and how often it came so far: the greatest counts, so repeats change nothing."""


class Counting:
    """Counts names; a row for each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.untold: set[str] = set()
        self.dirty: set[str] = set()

    @property
    def pending(self) -> bool:
        return bool(self.untold)

    def on_batch(self, batch: Sequence[str]) -> list[Told]:
        for name in batch:
            self.counts[name] = self.counts.get(name, 0) + 1
        self.untold.update(batch)
        self.dirty.update(batch)
        return []

    def on_time(self, now_ms: int) -> list[Told]:
        told = [(name, self.counts[name]) for name in sorted(self.untold)]
        self.untold.clear()
        return told

    def pack_head(self) -> bytes:
        return msgspec.msgpack.encode(sorted(self.untold))

    def changes(self) -> Mapping[str, bytes | None]:
        rows = {name: b"%d" % self.counts[name] for name in self.dirty}
        self.dirty.clear()
        return rows

    def restore(self, head: bytes, rows: Iterator[tuple[str, bytes]]) -> None:
        self.untold = set(msgspec.msgpack.decode(head))
        self.counts = {name: int(row) for name, row in rows}


def recording(seed: int, n: int, *, names: int = 30) -> list[Message]:
    """Return messages of two topics with as many partitions, keyed by who they are of."""
    random = Random(seed)
    ends: Counter[tuple[str, int]] = Counter()
    messages = []
    for _ in range(n):
        topic, name = random.choice(("events", "events", "history")), f"u{random.randrange(names)}"
        place = (topic, partition_for(name.encode(), SHARDS))
        messages.append(Message(*place, ends[place], name.encode(), name.encode()))
        ends[place] += 1
    return messages


def expected(messages: Sequence[Message]) -> dict[str, int]:
    """Return what a plain count gives."""
    return dict(Counter((message.value() or b"").decode() for message in messages))


class Recorded(FixedPartitionedSource[Batch, None]):
    """Messages of the shards of a process from their offsets on, some at a time; dies after so many batches.

    As one part, or (`by_shard`) as a part per shard, which the workers of a cluster share out.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        start: Offsets,
        shards: Sequence[int],
        *,
        size: int = 3,
        dies_after: int = -1,
        by_shard: bool = False,
    ) -> None:
        self.size = size
        self.dies_after = dies_after
        self.parts = {str(shard): [shard] for shard in shards} if by_shard else {"all": list(shards)}
        self.left = [one for one in messages if (one.offset() or 0) >= start.get((str(one.topic()), one.partition() or 0), 0)]

    def list_parts(self) -> list[str]:
        return list(self.parts)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _RecordedPart:
        mine = [one for one in self.left if one.partition() in self.parts[for_part]]
        return _RecordedPart([mine[at : at + self.size] for at in range(0, len(mine), self.size)], self.dies_after)


class _RecordedPart(StatefulSourcePartition[Batch, None]):
    def __init__(self, batches: list[list[Message]], dies_after: int) -> None:
        self.batches = iter(batches)
        self.dies_after = dies_after

    def next_batch(self) -> list[Batch]:
        if self.dies_after == 0:
            raise AbortExecution
        self.dies_after -= 1
        return [Batch(next(self.batches))]

    def snapshot(self) -> None:
        """Save nothing."""


class Killed(Exception):
    """The process ends here."""


class Acknowledging(FixedPartitionedSink[Told, None]):
    """Output counts once an epoch has closed; until then it goes with the process, which may die just before that."""

    def __init__(self, topic: Callable[[list[Told]], None], *, dies_after: int = -1) -> None:
        self.topic = topic
        self.dies_after = dies_after

    def list_parts(self) -> list[str]:
        return ["topic"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _AcknowledgingPart:
        return _AcknowledgingPart(self)


class _AcknowledgingPart(StatefulSinkPartition[Told, None]):
    def __init__(self, sink: Acknowledging) -> None:
        self.sink = sink
        self.waiting: list[Told] = []

    def write_batch(self, values: list[Told]) -> None:
        self.waiting += values

    def snapshot(self) -> None:
        if self.sink.dies_after == 0:
            # What the thread beside the flow has to write, it writes; the process could have been this slow.
            time.sleep(0.05)
            raise Killed
        self.sink.dies_after -= 1
        self.sink.topic(self.waiting)
        self.waiting = []


def flow_of(source: Recorded, sink: Sink[Any], keeper: Keeper) -> Dataflow:
    """Wire a flow."""

    def read(batch: Batch) -> list[str]:
        return [(value or b"").decode() for value in batch.values()]

    def told(one: Told) -> tuple[str, Told]:
        return "", one

    flow = Dataflow("counting")
    batches: Stream[Batch] = op.input("in", flow, source)
    out: Stream[Told] = sharded(
        "count", batches, read=read, make=lambda _shard: Counting(), keeper=keeper, pace=lambda: Pace(least=timedelta(0), share=1)
    )
    keyed: KeyedStream[Told] = op.map("key", out, told)
    op.output("out", keyed, sink)
    return flow


def checkpoints(folder: Path) -> Checkpoints:
    """Return the checkpoints in a folder."""
    return Checkpoints(Objects(str(folder)), most=2)


def main(folder: Path, process: int, addresses: list[str]) -> None:
    """Be one process of a cluster: the part of the recording that is in its shards."""
    keeper = Keeper(checkpoints(folder), range(SHARDS), every=1e-9)
    source = Recorded(recording(seed=3, n=600), keeper.start(), keeper.shards, by_shard=True)
    with (folder / f"out-{process}").open("a", encoding="ascii") as file:
        flow = flow_of(source, Acknowledging(lambda told: file.writelines(f"{name} {count}\n" for name, count in told)), keeper)
        cluster_main(flow, addresses, process, epoch_interval=timedelta(0))  # type: ignore[no-untyped-call]  # it has no types
    keeper.finish()
    print(sorted(keeper.written))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
