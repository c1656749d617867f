"""Flows that tests run, kill and stop as processes of their own: `python programs.py NAME JSON`."""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow

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
    {"count": count, "answer": answer}[sys.argv[1]](json.loads(sys.argv[2]), Shutdown().on_signals())
