"""Flows that tests run, kill and stop as processes of their own: `python programs.py NAME JSON`."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream

from dataflows.bucketed import Pace
from dataflows.checkpoint import Checkpoints
from dataflows.engine import run_to_end
from dataflows.kafka import (
    Batch,
    GroupSource,
    KafkaSink,
    KafkaSource,
    Outgoing,
    RequestBatch,
    Shutdown,
    SideBatch,
    send,
)
from dataflows.keeper import Keeper
from dataflows.objects import Objects
from dataflows.sharded import sharded


def count(options: dict[str, Any], shutdown: Shutdown) -> None:
    """Count messages by key; each output says which input it is for and the count of its key then.

    With a long linger nothing but the end of an epoch sends: output survives `kill -9` only if no epoch closes before it is sent.
    """
    connection = {"bootstrap.servers": options["bootstrap"]}

    def slow(batch: Batch) -> list[tuple[str, str]]:
        time.sleep(0.005)
        return [((m.key() or b"").decode(), f"{m.partition()}-{m.offset()}") for m in batch]

    def add(total: int | None, place: str) -> tuple[int, tuple[str, int]]:
        now = (total or 0) + 1
        return now, (place, now)

    def write(item: tuple[str, tuple[str, int]]) -> Outgoing:
        key, (place, total) = item
        return Outgoing(options["to"], key.encode(), json.dumps([place, total]).encode())

    flow = Dataflow("count")
    source = KafkaSource(connection, [options["from"]], group=options["group"], batch_size=50, shutdown=shutdown)
    keyed = op.flat_map("key", op.input("in", flow, source), slow)
    totals = op.stateful_map("count", keyed, add)
    send("out", op.map("write", totals, write), KafkaSink(connection, linger=timedelta(seconds=options["linger_s"])))
    run_to_end(flow, epoch=timedelta(milliseconds=300), store=Path(options["store"]))


Counted = tuple[str, str, int]
"""A key, where its message is, and the count of the key then."""


class Totals:
    """Counts keys; a row for each."""

    pending = False

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.changed: set[str] = set()

    def on_batch(self, batch: Sequence[tuple[str, str]]) -> Iterator[Counted]:
        for key, place in batch:
            self.totals[key] = self.totals.get(key, 0) + 1
            self.changed.add(key)
            yield key, place, self.totals[key]

    def on_time(self, now_ms: int) -> list[Counted]:
        return []

    def pack_head(self) -> bytes:
        return b""

    def changes(self) -> Mapping[str, bytes | None]:
        changed, self.changed = self.changed, set()
        return {key: b"%d" % self.totals[key] for key in changed}

    def restore(self, head: bytes, rows: Iterator[tuple[str, bytes]]) -> None:
        self.totals = {key: int(row) for key, row in rows}


def count_sharded(options: dict[str, Any], shutdown: Shutdown) -> None:
    """Count as `count` does, by shard: the state is in checkpoints."""
    connection = {"bootstrap.servers": options["bootstrap"]}
    keeper = Keeper(Checkpoints(Objects(options["store"])), range(3), every=0.5)

    def slow(batch: Batch) -> list[tuple[str, str]]:
        time.sleep(0.005)
        return [((m.key() or b"").decode(), f"{m.partition()}-{m.offset()}") for m in batch]

    def write(item: Counted) -> Outgoing:
        key, place, total = item
        return Outgoing(options["to"], key.encode(), json.dumps([place, total]).encode())

    flow = Dataflow("count")
    source = KafkaSource(connection, [options["from"]], group=options["group"], batch_size=50, start=keeper.start(), shutdown=shutdown)
    batches: Stream[Batch] = op.input("in", flow, source)
    totals: Stream[Counted] = sharded(
        "count", batches, read=slow, make=lambda _shard: Totals(), keeper=keeper, pace=lambda: Pace(least=timedelta(seconds=1))
    )
    send("out", op.map("write", totals, write), KafkaSink(connection, linger=timedelta(seconds=options["linger_s"])))
    run_to_end(flow, epoch=timedelta(milliseconds=300), store=None)
    keeper.finish()


def answer(options: dict[str, Any], shutdown: Shutdown) -> None:
    """Answer requests with the size of the side table at that moment; commit what the broker has acknowledged."""
    connection = {"bootstrap.servers": options["bootstrap"]}
    table: dict[bytes, bytes | None] = {}
    sink = KafkaSink(connection, linger=timedelta(0), acks="1", idempotent=False, on_delivered=lambda tag: source.done(*tag))
    source = GroupSource(
        connection,
        options["requests"],
        group=options["group"],
        side_topics=options["side"],
        session_timeout=timedelta(milliseconds=1500),
        on_turn=sink.poll,
        shutdown=shutdown,
    )

    def answers(batch: SideBatch | RequestBatch) -> list[Outgoing]:
        if isinstance(batch, SideBatch):
            table.update((message.key() or b"", message.value()) for message in batch)
            return []
        value = json.dumps({"worker": options["worker"], "table": len(table)}).encode()
        return [Outgoing(options["to"], m.key(), value, tag=(m.topic(), m.partition(), m.offset())) for m in batch]

    flow = Dataflow("answer")
    send("out", op.flat_map("answer", op.input("in", flow, source), answers), sink)
    run_to_end(flow, epoch=timedelta(seconds=1), store=None)


if __name__ == "__main__":
    {"count": count, "count_sharded": count_sharded, "answer": answer}[sys.argv[1]](json.loads(sys.argv[2]), Shutdown().on_signals())
