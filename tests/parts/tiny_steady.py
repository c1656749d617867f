"""A part that counts for ever and keeps its count; it needs telemetry.raw to exist, and fails at the count in TINY_FAIL_AT."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream
from bytewax.testing import TestingSink

from dataflows.part import Part, run_part


class Ticks(StatefulSourcePartition[tuple[str, int], int]):
    def __init__(self, part: Part, count: int) -> None:
        self.part = part
        self.count = count

    def next_batch(self) -> list[tuple[str, int]]:
        if self.part.shutdown.requested:
            raise StopIteration
        self.count += 1
        self.part.progress(1)
        self.part.lag(7)
        return [("count", self.count)]

    def next_awake(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=20)

    def snapshot(self) -> int:
        return self.count


class Clock(FixedPartitionedSource[tuple[str, int], int]):
    def __init__(self, part: Part) -> None:
        self.part = part

    def list_parts(self) -> list[str]:
        return ["ticks"]

    def build_part(self, _step_id: str, _name: str, state: int | None) -> Ticks:
        self.part.log.info("counting on", after=state or 0)
        return Ticks(self.part, state or 0)


def checked(count: int) -> int:
    if count == int(os.environ.get("TINY_FAIL_AT", "0")):
        message = f"counted to {count}"
        raise ValueError(message)
    return count


def flow(part: Part) -> Dataflow:
    part.topic("telemetry.raw")
    logging.getLogger("some.library").warning("said by %s", "a library")
    dataflow = Dataflow("steady")
    ticks: KeyedStream[int] = op.input("in", dataflow, Clock(part))
    op.output("out", op.map_value("checked", ticks, checked), TestingSink([]))
    return dataflow


if __name__ == "__main__":
    run_part("steady", flow, snapshot_interval=timedelta(milliseconds=100))
