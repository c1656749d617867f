"""Cost of a feed by the size of the catalogue, in one process: `python -m benchmarks.catalogue --json FILE`; no broker, no store."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

from benchmarks.growing import NOW_MS, Catalogue, person
from benchmarks.rows import Row, percentile, table
from operators.feed import FeedEngine
from schemas.codec import encode, pack
from schemas.feed import FeedRequest, ReadState
from schemas.telemetry import Context

_WARM = 60
_LIVE = 20
_GC_OF_A_PART = (50_000, 20, 100)


class Feeds:
    """Asks for feeds of one catalogue, counters coming in between, and notes what each cost.

    Attributes
    ----------
    feeds_ms : list of float
        CPU of each answer.
    sources_ms : dict of source to list of float
        CPU of each source.
    cut : int
        Answers without some stage.
    """

    def __init__(self, catalogue: Catalogue, n: int) -> None:
        self.catalogue = catalogue
        self.n = n
        self.engine = FeedEngine(tables=catalogue.tables, secret=b"0123456789abcdef", seed=0, worker="w")
        self.feeds_ms: list[float] = []
        self.sources_ms: dict[str, list[float]] = {source.name: [] for source in self.engine.pipeline.sources}
        self.cut = 0

    def ask(self, asked: int) -> None:
        """Apply some counters, and ask for one feed."""
        for _ in range(_LIVE):
            self.catalogue.watch(int(self.catalogue.rng.integers(self.n)))
        request = FeedRequest(user_id=f"u{asked}", limit=20, context=Context(surface="1", region="DE", language="de"))
        read = ReadState(available=True, state=pack(person(self.catalogue.rng, asked)), seen={}, pages=[])
        raw, clock = encode(request), time.thread_time
        began = clock()
        answer = self.engine.answer(request=request, raw=raw, request_id=f"r{asked}", read=read, now_ms=NOW_MS, sequence=asked, clock=clock)
        if asked >= _WARM:
            self.feeds_ms.append(1000 * (clock() - began))
            self.cut += bool(answer.outcome.skipped)
            for name, values in self.sources_ms.items():
                values.append(1000 * answer.outcome.stage_seconds.get(name, 0.0))


def grown(catalogue: Catalogue, n: int) -> Iterator[Row]:
    """Fill a catalogue with `n` videos."""
    at, before = f"{n:,} videos", _resident()
    for one in range(n):
        catalogue.list(one)
        catalogue.count(one)
    memory = (_resident() - before) / n
    for topic in ("catalog.items", "catalog.vectors", "features.items"):
        value = 1e6 * catalogue.cpu_s[topic] / catalogue.applied[topic]
        yield Row(name=f"apply {topic}, {at}", value=value, unit="µs", method="CPU, mean of all records of the load, decoding included")
    longest = 1000 * catalogue.longest_cpu_s
    yield Row(name=f"longest record while growing, {at}", value=longest, unit="ms of CPU", method="of all records of the load")
    method = "the same, waits for a CPU included"
    yield Row(name=f"longest record while growing, wall, {at}", value=1000 * catalogue.longest_s, unit="ms", method=method)
    method = "resident after - before the load, the catalogue's records included"
    yield Row(name=f"memory a video, {at}", value=memory, unit="bytes", method=method)


def rows(sizes: Sequence[int], requests: int) -> Iterator[Row]:
    """Fill a catalogue of each size, the smallest first, then ask for a feed of each in turn."""
    asking: list[Feeds] = []
    for n in sizes:
        catalogue = Catalogue()
        yield from grown(catalogue, n)
        catalogue.relate(n)
        asking.append(Feeds(catalogue, n))
    gc.collect()
    gc.freeze()
    loaded = [(one.catalogue.cpu_s["features.items"], one.catalogue.applied["features.items"]) for one in asking]
    for asked in range(requests + _WARM):
        for one in asking:
            one.ask(asked)
    for one, (spent_s, applied) in zip(asking, loaded, strict=True):
        at, cost_s = f"{one.n:,} videos", one.catalogue.cpu_s["features.items"] - spent_s
        value = 1e6 * cost_s / (one.catalogue.applied["features.items"] - applied)
        yield Row(name=f"live counters, {at}", value=value, unit="µs", method="CPU a record, mean, in between the answers")
        yield from asked_rows(one, asking[0], at)
    gc.unfreeze()


def asked_rows(one: Feeds, smallest: Feeds, at: str) -> Iterator[Row]:
    """Say what the answers of one catalogue cost."""
    yield Row(name=f"answers without some stage, {at}", value=one.cut, unit="answers", method=f"of {len(one.feeds_ms)}")
    method = f"thread CPU of {len(one.feeds_ms)} answers, sizes in turn, {_LIVE} counters applied before each"
    for q in (0.5, 0.99):
        value, least = percentile(one.feeds_ms, q), percentile(smallest.feeds_ms, q)
        against = f"{smallest.n:,} videos"
        yield Row(name=f"CPU per feed p{100 * q:g}, {at}", value=value, unit="ms", against=against, ratio=value / least, method=method)
    for name, values in one.sources_ms.items():
        yield Row(name=f"source {name}, {at}", value=percentile(values, 0.5), unit="ms", method="thread CPU, median")
    value = sum(percentile(values, 0.5) for values in one.sources_ms.values())
    yield Row(name=f"all sources, {at}", value=value, unit="ms", method="sum of the medians")


def churn(alive: int, seen: int) -> Iterator[Row]:
    """List one video after the other and delete the oldest, so that `alive` are listed; nothing is told of counters of the deleted."""
    catalogue, before = Catalogue(), _resident()
    catalogue.tables.videos.most_loose = alive // 2
    for n in range(seen):
        catalogue.list(n)
        catalogue.count(n)
        if n >= alive:
            catalogue.delist(n - alive)
        if n + 1 in {2 * alive, seen // 2, seen}:
            name = f"memory of {alive:,} videos after {n + 1:,} were seen"
            method = f"resident after - before; {len(catalogue.tables.videos):,} rows in use, at most {alive // 2:,} of them not listed"
            yield Row(name=name, value=(_resident() - before) / 2**20, unit="MiB", method=method)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Measure, print, write."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    words.add_argument("--json", type=Path, default=Path("catalogue.json"), help="where the rows go")
    words.add_argument("--sizes", default="10000,100000,1000000", help="videos, each more than 1,000, the smallest first")
    words.add_argument("--requests", type=int, default=400, help="answers measured at each size")
    words.add_argument("--alive", type=int, default=100_000, help="videos listed at a time in the churn")
    words.add_argument("--seen", type=int, default=1_000_000, help="videos listed in all in the churn")
    chosen = words.parse_args()
    gc.set_threshold(*_GC_OF_A_PART)
    console, found = Console(), list[Row]()
    for measured in (rows([int(one) for one in chosen.sizes.split(",")], chosen.requests), churn(chosen.alive, chosen.seen)):
        for row in measured:
            found.append(row)
            console.print(f"{row.name}: {row.value:,.2f} {row.unit}")
    console.print(table(found))
    chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    sys.stdout.write(f"{chosen.json}\n")


if __name__ == "__main__":
    main()
