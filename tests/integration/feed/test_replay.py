"""A recorded run of real workers, replayed: weights move, segments swap, a worker is killed and comes back under its name."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dataflows.store import UserStore, connect
from operators.index.builder import SegmentBuilder, publish
from operators.profiles.update import UserUpdate
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from schemas.codec import pack
from schemas.feed import FeedRequest
from schemas.learning import OnlineWeights
from schemas.telemetry import Context
from serving.client import FeedClient
from tests.integration.feed.conftest import Cluster, Worker
from tests.operators.feed_world import rich_person, rich_world

pytestmark = pytest.mark.integration

REQUESTS = 500
VIDEOS = 400
PEOPLE = 120


class Life:
    """What happens beside the requests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.chance = random.Random(5)
        self.version = 0
        self.vectors: dict[str, bytes] = {}
        self.news = rich_world(VIDEOS, seed=6)
        for topic, key, value in rich_world(VIDEOS, seed=5):
            self._put(topic, key, value)
        self.flush()
        settings = cluster.settings
        with closing(UserStore(connect(settings, timeout_s=5))) as store:
            rows = [(f"{settings.topic_prefix}{n}", pack(rich_person())) for n in range(PEOPLE)]
            store.write([UserUpdate(user_id=name, version=1, state=state, readable={"about": "somebody"}, seen={}) for name, state in rows])

    def _put(self, topic: str, key: str, value: bytes | None) -> None:
        self.cluster.producer.produce(self.cluster.settings.topic_prefix + topic, value, key.encode(), 0)

    def flush(self) -> None:
        assert self.cluster.producer.flush(20) == 0

    def move(self) -> None:
        """Publish new weights, and some records of another world."""
        self.version += 1
        data = struct.pack(f"<{N_FEATURES + 1}f", *(self.chance.gauss(0, 0.2) for _ in range(N_FEATURES + 1)))
        heads = dict.fromkeys(INITIAL_OBJECTIVE.heads, data)
        weights = OnlineWeights(model="online", version=self.version, feature_set=FEATURE_SET, updated_ms=0, examples=0, heads=heads)
        self.cluster.put("models.online", "online", weights)
        for topic, key, value in self.chance.sample(self.news, 20):
            self._put(topic, key, value)
        self.flush()

    def announce(self, share: float) -> None:
        """Build a segment of a part of the vectors as they were at first, and announce it."""
        vectors = {f"v{n}": self.chance.randbytes(64).replace(b"\x80", b"\x81") for n in range(int(share * VIDEOS))}
        store = self.cluster.settings.home / "segments"
        segment = SegmentBuilder(exact_below=self.chance.choice((0, 9_999))).build(vectors, dim=64)
        self.cluster.put("catalog.segments", "items", publish(segment, store, built_ms=0, vectors_offset=len(vectors)))
        self.flush()

    def asks(self) -> Iterator[FeedRequest]:
        """Yield one request after another."""
        for n in range(REQUESTS):
            yield FeedRequest(
                user_id=f"{self.cluster.settings.topic_prefix}{self.chance.randrange(PEOPLE)}",
                request_id=f"replayed-{n}",
                limit=self.chance.choice((3, 10)),
                context=Context(surface="1", region="DE"),
                shadow=n % 7 == 0,
            )


def live(life: Life, client: FeedClient, start: Callable[[str], Worker]) -> None:
    """Ask while everything moves; kill a worker on the way, when its lineage is out, and start it anew."""
    first, second = start("feed-0"), start("feed-1")
    first.wait_ready()
    second.wait_ready()
    life.announce(0.5)
    waiting = []
    for n, request in enumerate(life.asks()):
        waiting.append(client.submit(request, timeout=30))
        if n % 10 == 9:
            life.move()
            for one in waiting:
                assert one.result().error is None
            waiting.clear()
        if n % 120 == 119:
            life.announce(0.5 + n / 1_000)
        if n == REQUESTS // 2 - 1:
            time.sleep(0.5)
            first.kill()
        if n == REQUESTS // 2 + 49:
            start("feed-0").wait_ready()
    for one in waiting:
        assert one.result().error is None


def penstock(cluster: Cluster, *words: str) -> tuple[int, Any, str]:
    """Run a command with --json; return its exit code, what it printed, and its errors."""
    settings = cluster.settings
    env = {
        **os.environ,
        "PENSTOCK_HOME": str(settings.home),
        "PENSTOCK_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "PENSTOCK_TOPIC_PREFIX": settings.topic_prefix,
    }
    script = Path(sys.executable).with_name("penstock")
    done = subprocess.run([script, *words, "--json"], env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.mark.timeout(300)
def test_a_recorded_run_comes_out_the_same(cluster: Cluster, start: Callable[[str], Worker], tmp_path: Path) -> None:
    life = Life(cluster)
    with closing(cluster.client(timeout=30, hedge_after=0.5)) as client:
        live(life, client, start)
    cluster.raw(b"no json")
    folder = tmp_path / "recording"
    code, recorded, errors = penstock(cluster, "record", str(folder))
    assert code == 0, errors
    assert all(one["copied"] for one in recorded["artifacts"])
    assert len(recorded["artifacts"]) > 3
    assert recorded["secret"] is not None

    code, report, errors = penstock(cluster, "replay", str(folder))
    assert report["first_mismatch"] is None
    assert report["reasons"] == {}
    assert (code, report["mismatches"], report["not_reproducible"]) == (0, 0, 0), errors
    assert report["requests"] >= REQUESTS
    assert report["refused"] == 1
    assert sum(report["workers"].values()) == report["requests"]

    (cluster.settings.home / "token.key").unlink()
    code, report, errors = penstock(cluster, "replay", str(folder), "--limit", "20")
    assert (code, report["requests"], report["mismatches"], report["not_reproducible"]) == (1, 20, 0, 20), errors
    assert not (cluster.settings.home / "token.key").exists()

    code, _, errors = penstock(cluster, "record", str(folder))
    assert code == 2
    assert "expected a new or empty folder" in errors
