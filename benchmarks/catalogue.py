"""Cost of a feed by the size of the catalogue, in one process: `python -m benchmarks.catalogue --json FILE`; no broker, no store."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.rows import Row, percentile, table
from operators.feed import FeedEngine
from operators.index.hnsw import HnswSegment
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.segments import IndexSegment
from operators.tables.side import SideTables
from operators.windows.decay import N_DECAYED
from schemas.catalog import CatalogItem, ItemVector, SegmentAnnounced
from schemas.codec import encode, pack
from schemas.features import N_COUNTERS, Decayed, EntityCounters, Neighbours, Pane, TagInterest, Taken, TrendingList, UserState
from schemas.feed import FeedRequest, ReadState
from schemas.telemetry import Context

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
_DIM = 64
_WATCHED = 500
_WARM = 60
_SEGMENT = 50_000
_FRESH = 1_000
_LIVE = 20
_GC_OF_A_PART = (50_000, 20, 100)


class Catalogue:
    """Makes records of videos, the n-th always the same, and puts them into tables one by one, timing each.

    Attributes
    ----------
    longest_cpu_s, longest_s : float
        The longest that any record took.
    cpu_s : dict of topic to float
        CPU time of all records.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self._centres = self.rng.normal(size=(40, _DIM))
        self.tables = SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE)
        self.longest_cpu_s = self.longest_s = 0.0
        self.cpu_s: dict[str, float] = {}
        self.applied: dict[str, int] = {}

    def put(self, topic: str, key: str, value: bytes | None) -> None:
        """Apply a record."""
        began, cpu = time.perf_counter(), time.thread_time()
        self.tables.apply(topic, 0, self.applied.get(topic, 0), key.encode(), value)
        cpu_s = time.thread_time() - cpu
        self.longest_s = max(self.longest_s, time.perf_counter() - began)
        self.longest_cpu_s = max(self.longest_cpu_s, cpu_s)
        self.cpu_s[topic] = self.cpu_s.get(topic, 0.0) + cpu_s
        self.applied[topic] = self.applied.get(topic, 0) + 1

    def list(self, n: int) -> None:
        """List the n-th video, with its vector."""
        item = CatalogItem(
            video_id=f"v{n}",
            creator_id=f"c{n % 50_000}",
            audio_id=f"a{n % 70_000}",
            title=f"video number {n}",
            tags=(f"k{n % 40}", f"t{n % 997}"),
            category=f"k{n % 40}",
            region=(None, "DE", "FR", "US")[n % 4],
            language=("de", "fr", "en")[n % 3],
            duration_ms=5_000 + n % 60_000,
            uploaded_ms=NOW_MS - int(self.rng.integers(1, 400 * DAY_MS)),
        )
        self.put("catalog.items", item.video_id, encode(item))
        vector = ItemVector(
            video_id=item.video_id,
            vector=self._vector(n % 40),
            simhash=int(self.rng.integers(1, 1 << 62)),
            catalog_offset=n,
        )
        self.put("catalog.vectors", item.video_id, encode(vector))

    def _vector(self, category: int) -> bytes:
        near = self._centres[category] + 0.7 * self.rng.normal(size=_DIM)
        whole: NDArray[np.int8] = np.rint(127 * near / np.linalg.norm(near)).astype(np.int8)
        return whole.tobytes()

    def count(self, n: int) -> None:
        """Take in counters of the n-th video as they come while people watch."""
        total = int(self.rng.zipf(1.3)) % 100_000
        counters = EntityCounters(
            kind="video",
            id=f"v{n}",
            version=1,
            updated_ms=NOW_MS,
            totals=[total] * N_COUNTERS,
            panes=[Pane(minute=NOW_MS // 60_000 - age, counts=[1] * N_COUNTERS) for age in (20, 4)],
            decayed=Decayed(at_ms=NOW_MS - int(self.rng.integers(30 * DAY_MS)), values=[float(total)] * N_DECAYED),
            surfaces={"1": float(total), "0": 1.0},
        )
        self.put("features.items", counters.key, encode(counters))

    def delist(self, n: int) -> None:
        """Delete the n-th video; its counters stay on their topic."""
        self.put("catalog.items", f"v{n}", None)
        self.put("catalog.vectors", f"v{n}", None)

    def relate(self, n: int) -> None:
        """Give neighbours to some videos, lists to the scopes, and a segment to the older vectors, of n videos."""
        for one in range(min(n, _WATCHED)):
            others = [f"v{other}" for other in self.rng.choice(n, size=300, replace=False).tolist()]
            weights = np.linspace(0.9, 0.01, 300).tolist()
            self.put(
                "features.neighbours", f"v{one}", encode(Neighbours(video_id=f"v{one}", as_of_ms=NOW_MS, video_ids=others, weights=weights))
            )
        for scope in ("global", "region:DE", *(f"category:k{k}" for k in range(40))):
            ids = [f"v{other}" for other in self.rng.choice(n, size=400, replace=False).tolist()]
            scores = np.linspace(9, 1, 400).tolist()
            listed = TrendingList(scope=scope, as_of_ms=NOW_MS, half_life_ms=DAY_MS, video_ids=ids, scores=scores)
            self.put("features.trending", scope, encode(listed))
        ids = sorted(f"v{one}" for one in range(min(n - _FRESH, _SEGMENT)))
        rows = [self.tables.videos.find(video_id) for video_id in ids]
        segment = HnswSegment.build(ids, self.tables.vectors.matrix.values[rows].astype(np.int8), m=16, ef_construction=64)
        announced = SegmentAnnounced(
            segment_id="s", kind="hnsw", path="s", sha256="", dim=_DIM, count=len(ids), built_ms=NOW_MS, vectors_offset=n - _FRESH
        )
        self.tables.view(IndexSegment).install(announced, segment)


def feeds(catalogue: Catalogue, n: int, requests: int) -> tuple[list[float], dict[str, list[float]], int]:
    """Answer requests, with counters coming in between; return the CPU ms of each, that of each source, and how many were cut."""
    engine = FeedEngine(tables=catalogue.tables, secret=b"0123456789abcdef", seed=0, worker="w")
    names = {source.name for source in engine.pipeline.sources}
    feeds_ms: list[float] = []
    skipped = 0
    sources_ms: dict[str, list[float]] = {}
    for asked in range(requests + _WARM):
        for _ in range(_LIVE):
            catalogue.count(int(catalogue.rng.integers(n)))
        request = FeedRequest(user_id=f"u{asked}", limit=20, context=Context(surface="1", region="DE", language="de"))
        known = ReadState(available=True, state=pack(_person(catalogue.rng, asked)), seen={}, pages=[])
        began = time.thread_time()
        answer = engine.answer(
            request=request,
            raw=encode(request),
            request_id=f"r{asked}",
            read=known,
            now_ms=NOW_MS,
            sequence=asked,
            clock=time.thread_time,
        )
        took_ms = 1000 * (time.thread_time() - began)
        if asked >= _WARM:
            skipped += bool(answer.outcome.skipped)
            feeds_ms.append(took_ms)
            for name, seconds in answer.outcome.stage_seconds.items():
                if name in names:
                    sources_ms.setdefault(name, []).append(1000 * seconds)
    return feeds_ms, sources_ms, skipped


def rows(sizes: Sequence[int], requests: int) -> Iterator[Row]:
    """Measure each size in turn, the smallest first."""
    base: dict[float, float] = {}
    for n in sizes:
        catalogue, before = Catalogue(), _resident()
        for one in range(n):
            catalogue.list(one)
            catalogue.count(one)
        at = f"{n:,} videos"
        yield from _of_the_load(catalogue, (_resident() - before) / n, at)
        catalogue.relate(n)
        gc.collect()
        gc.freeze()
        feeds_ms, sources_ms, skipped = feeds(catalogue, n, requests)
        yield Row(name=f"answers without some stage, {at}", value=skipped, unit="answers", method=f"of {requests}")
        for q in (0.5, 0.99):
            value = percentile(feeds_ms, q)
            base.setdefault(q, value)
            against, ratio = f"{sizes[0]:,} videos", value / base[q]
            method = f"thread CPU of {requests} answers, {_LIVE} counters applied before each"
            yield Row(name=f"CPU per feed p{100 * q:g}, {at}", value=value, unit="ms", against=against, ratio=ratio, method=method)
        for name, values in sources_ms.items():
            yield Row(name=f"source {name}, {at}", value=percentile(values, 0.5), unit="ms", method="thread CPU, median")
        value = sum(percentile(values, 0.5) for values in sources_ms.values())
        yield Row(name=f"all sources, {at}", value=value, unit="ms", method="sum of the medians")
        gc.unfreeze()
        del catalogue
        gc.collect()


def _of_the_load(catalogue: Catalogue, bytes_a_video: float, at: str) -> Iterator[Row]:
    """Say what it cost to apply the records of a catalogue."""
    for topic in ("catalog.items", "catalog.vectors", "features.items"):
        value = 1e6 * catalogue.cpu_s[topic] / catalogue.applied[topic]
        yield Row(name=f"apply {topic}, {at}", value=value, unit="µs", method="CPU, mean of all records of the load, decoding included")
    longest = 1000 * catalogue.longest_cpu_s
    yield Row(name=f"longest record while growing, {at}", value=longest, unit="ms of CPU", method="of all records of the load")
    yield Row(
        name=f"longest record while growing, wall, {at}",
        value=1000 * catalogue.longest_s,
        unit="ms",
        method="the same, waits for a CPU included",
    )
    yield Row(
        name=f"memory a video, {at}",
        value=bytes_a_video,
        unit="bytes",
        method="resident after - before the load, the catalogue's records included",
    )


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


def _person(rng: np.random.Generator, n: int) -> UserState:
    def taken(most: int) -> list[Taken]:
        return [Taken(video_id=f"v{one}", weight=0.8, at_ms=NOW_MS - 1_000) for one in rng.integers(_WATCHED, size=most).tolist()]

    return UserState(
        user_id=f"u{n}",
        version=1,
        updated_ms=NOW_MS,
        totals=[9] * N_COUNTERS,
        panes=[Pane(minute=NOW_MS // 60_000, counts=[1] * N_COUNTERS)],
        tags={f"t{tag}": TagInterest(1.0, NOW_MS - DAY_MS, [1] * N_COUNTERS) for tag in rng.integers(997, size=60).tolist()},
        positives=taken(50),
        recent=taken(50),
        hidden_videos=[f"v{one}" for one in rng.integers(_WATCHED, size=20).tolist()],
        hidden_creators=[f"c{one}" for one in rng.integers(1_000, size=10).tolist()],
        followed_creators=[f"c{one}" for one in rng.integers(1_000, size=30).tolist()],
    )


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Measure, print, write."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    words.add_argument("--json", type=Path, default=Path("catalogue.json"), help="where the rows go")
    words.add_argument("--sizes", default="10000,100000,1000000", help="videos, the smallest first")
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
