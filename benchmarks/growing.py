"""A catalogue that grows video by video, each record timed, and people who watched some of it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from operators.index.hnsw import HnswSegment
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.segments import IndexSegment
from operators.tables.side import SideTables
from operators.windows.decay import DECAYED, N_DECAYED
from schemas.catalog import CatalogItem, ItemVector, SegmentAnnounced
from schemas.codec import encode
from schemas.features import N_COUNTERS, Counter, Decayed, EntityCounters, Neighbours, Pane, TagInterest, Taken, TrendingList, UserState

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
_DIM = 64
_WATCHED = 500
_SEGMENT = 50_000
_FRESH = 1_000


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

    def watch(self, n: int) -> None:
        """Take in counters of the n-th video after it was shown once more, and one time in ten was watched for long."""
        counters, row = self.tables.counters, np.array([self.tables.videos.find(f"v{n}")])
        long = float(self.rng.random() < 0.1)
        totals = counters.totals.values[row[0]].copy()
        totals[Counter.IMPRESSIONS] += 1
        totals[Counter.LONG_VIEWS] += int(long)
        now = [float(counters.decayed_at(row, place, NOW_MS)[0]) for place in range(N_DECAYED)]
        more = {Counter.IMPRESSIONS: 1.0, Counter.LONG_VIEWS: long}
        said = {name: counters.on_surface(row, name, NOW_MS) for name in ("0", "1")}
        entity = EntityCounters(
            kind="video",
            id=f"v{n}",
            version=1,
            updated_ms=NOW_MS,
            totals=totals.tolist(),
            panes=[Pane(minute=NOW_MS // 60_000 - age, counts=[1] * N_COUNTERS) for age in (20, 4)],
            decayed=Decayed(at_ms=NOW_MS, values=[value + more.get(one.counter, 0.0) for value, one in zip(now, DECAYED, strict=True)]),
            surfaces={name: float(value[0]) + (name == "1") for name, value in said.items() if value is not None},
        )
        self.put("features.items", entity.key, encode(entity))

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


def person(rng: np.random.Generator, n: int) -> UserState:
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
