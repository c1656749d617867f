"""A cluster with every topic and a catalogue, and feed workers as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.base import Message
from schemas.catalog import CatalogItem
from schemas.codec import encode
from schemas.partition import partition_for
from schemas.settings import CHECKOUT, Settings
from schemas.topics import load_topics
from serving.client import FeedClient

READY_S = 40.0


class Cluster:
    """Topics under a prefix of their own, and what a test does with them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = Producer({**settings.kafka(), "linger.ms": 0})

    def put(self, topic: str, key: str, message: Message | None) -> None:
        """Produce a side record; None deletes."""
        self.producer.produce(self.settings.topic_prefix + topic, None if message is None else encode(message), key.encode(), 0)

    def catalogue(self, n: int, *, start: int = 0) -> None:
        """Put `n` videos into the catalogue."""
        for i in range(start, start + n):
            item = CatalogItem(video_id=f"v{i}", creator_id=f"c{i % 97}", title=f"video {i}", category=f"k{i % 11}", audio_id=f"a{i % 89}")
            self.put("catalog.items", item.video_id, item)
        assert self.producer.flush(20) == 0

    def raw(self, value: bytes | None, *, key: str = "u", headers: list[tuple[str, bytes]] | None = None) -> None:
        """Produce the bytes of a request."""
        partition = partition_for(key.encode(), load_topics()["feed.requests"].partitions)
        topic = self.settings.topic_prefix + "feed.requests"
        self.producer.produce(topic, value, key.encode(), partition, headers=headers)  # type: ignore[arg-type]
        assert self.producer.flush(20) == 0

    def client(self, *, timeout: float = 15.0, hedge_after: float = 0.06) -> FeedClient:
        """Return a client of this cluster."""
        return FeedClient(self.settings.kafka(), topic_prefix=self.settings.topic_prefix, timeout=timeout, hedge_after=hedge_after)


class Worker:
    """One feed process."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.port_file = settings.home / "run" / f"{name}.port"
        self.port_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PENSTOCK_HOME": str(settings.home),
            "PENSTOCK_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "PENSTOCK_REDIS_URL": settings.redis_url,
            "PENSTOCK_TOPIC_PREFIX": settings.topic_prefix,
            "PENSTOCK_REPLY_TOPICS": settings.reply_topics,
            "PENSTOCK_PART": name,
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen([sys.executable, "-m", "dataflows.feed"], env=environment, cwd=CHECKOUT)

    def metrics(self) -> dict[str, float]:
        """Return the process's metrics."""
        with urlopen(f"http://127.0.0.1:{int(self.port_file.read_text())}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def wait_ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
            if self.port_file.exists() and self.metrics().get("penstock_ready") == 1:
                return
            time.sleep(0.05)
        pytest.fail(f"{self.name} was not ready within {READY_S:.0f} s")

    def kill(self) -> None:
        """Kill it without a warning."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it cleanly; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@pytest.fixture
def cluster(kafka: str, redis_url: str, admin: AdminClient, tmp_path: Path) -> Cluster:
    """Every topic, empty."""
    prefix = f"feed-{uuid.uuid4().hex[:8]}."
    topics = [
        NewTopic(prefix + one.name, num_partitions=one.partitions, replication_factor=1, config=one.config())
        for one in load_topics().values()
    ]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    return Cluster(Settings(home=tmp_path, bootstrap_servers=kafka, redis_url=redis_url, topic_prefix=prefix))


@pytest.fixture
def start(cluster: Cluster) -> Iterator[Callable[[str], Worker]]:
    """Start a worker by name, not waiting until it is ready."""
    workers: list[Worker] = []

    def one(name: str) -> Worker:
        workers.append(Worker(cluster.settings, name))
        return workers[-1]

    yield one
    for worker in workers:
        if worker.process.poll() is None:
            worker.kill()
