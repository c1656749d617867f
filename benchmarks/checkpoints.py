"""Cost of checkpoints: the pause of the flow, CPU beside it, and the time to read all shards back, at a million people."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, percentile
from dataflows.checkpoint import Checkpoints, Rows, Taken
from dataflows.keeper import Keeper
from dataflows.objects import Objects

SHARDS = 16
ROWS = 1_200_000
"""1 M people and 200,000 videos."""
ROW_BYTES = 1_500
CHANGED = 8_000
"""Rows of a shard that changed since its last checkpoint: 25,000 a second in all at 5 s."""
_TURN = 5_000


def rows(folder: Path, *, seconds: float) -> Iterator[Row]:
    """Fill all shards, let a flow run without and with checkpoints, and read them back."""
    method = f"{ROWS:,} rows of {ROW_BYTES:,} bytes in {SHARDS} shards on the local disk, {CHANGED:,} changed a shard each 5 s"
    values = [os.urandom(ROW_BYTES) for _ in range(8)]
    checkpoints = Checkpoints(Objects(str(folder)))
    keeper = Keeper(checkpoints, range(SHARDS))
    for shard in keeper.shards:
        keeper.write(shard, _taken(shard, 0, range(ROWS // SHARDS), values))
    keeper.finish()
    without, _, _ = _flow(None, seconds, values)
    gaps, taking, cpu_s = _flow(keeper, seconds, values)
    keeper.finish()
    for q in (0.5, 1.0):
        took = 1_000 * percentile(taking, q)
        yield Row(name=f"checkpoint taken of a shard, p{100 * q:g}", value=took, unit="ms", method=method + "; CPU of the flow's thread")
    for q in (0.999, 1.0):
        value, alone = 1_000 * percentile(gaps, q), 1_000 * percentile(without, q)
        yield Row(
            name=f"turn of a flow beside checkpoints, p{100 * q:g}",
            value=value,
            unit="ms",
            method=f"{method}; a turn is {_TURN:,} additions",
            against="no checkpoints",
            ratio=value / alone,
        )
    yield Row(name="checkpoints, CPU beside the flow", value=cpu_s, unit="CPU seconds/s", method=method)
    began, own = time.monotonic(), time.process_time()
    again = Checkpoints(Objects(str(folder)))
    found = sum(1 for shard in range(SHARDS) for _ in _saved(again, shard))
    assert found == ROWS
    name, method = "checkpoints, all shards read and verified", method + "; one process"
    yield Row(name=name, value=time.monotonic() - began, unit="s", method=method)
    yield Row(name=f"{name}, CPU", value=time.process_time() - own, unit="CPU seconds", method=method)


def _flow(keeper: Keeper | None, seconds: float, values: list[bytes]) -> tuple[list[float], list[float], float]:
    """Return how long the turns took, the CPU of the takings, and the CPU of other threads per second."""
    dice = random.Random(1)
    gaps, taking = [], []
    began, own, all_threads = time.monotonic(), time.thread_time(), time.process_time()
    number = 0
    while time.monotonic() - began < seconds:
        turn = time.perf_counter()
        sum(range(_TURN))
        gaps.append(time.perf_counter() - turn)
        for shard in () if keeper is None else keeper.shards:
            assert keeper is not None
            keeper.confirm(shard)
            if keeper.is_due(shard):
                number += 1
                changed = dice.sample(range(ROWS // SHARDS), CHANGED)
                taken = time.thread_time()
                keeper.take(shard, _taken(shard, number, changed, values))
                taking.append(time.thread_time() - taken)
    beside_s = time.process_time() - all_threads - (time.thread_time() - own)
    return gaps, taking, beside_s / (time.monotonic() - began)


def _taken(shard: int, number: int, some: range | list[int], values: list[bytes]) -> Taken:
    changed: Rows = {f"user-{shard}-{n}": values[(n + number) % len(values)] for n in some}
    return Taken({("telemetry.events", shard): number}, b"head", changed)


def _saved(checkpoints: Checkpoints, shard: int) -> Iterator[tuple[str, bytes]]:
    saved = checkpoints.load(shard)
    return iter(()) if saved is None else saved.rows
