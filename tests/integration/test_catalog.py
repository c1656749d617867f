from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Upsert, VectorUpserts
from operators.index.builder import open_segment
from schemas.catalog import CatalogItem, ItemVector, SegmentAnnounced
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.keys import video_vector
from schemas.topics import load_topics

pytestmark = pytest.mark.integration

TOPICS = ("catalog.items", "catalog.vectors", "catalog.segments", "telemetry.dlq")


class Catalog:
    """The catalogue's process, with topics and a home of its own."""

    def __init__(self, bootstrap: str, redis_url: str, admin: AdminClient, home: Path) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:10]}."
        self.bootstrap = bootstrap
        self.home = home
        self.env = {
            **os.environ,
            "PENSTOCK_HOME": str(home),
            "PENSTOCK_BOOTSTRAP_SERVERS": bootstrap,
            "PENSTOCK_REDIS_URL": redis_url,
            "PENSTOCK_TOPIC_PREFIX": self.prefix,
        }
        self.redis = Redis.from_url(redis_url)
        specs = load_topics()
        made = [NewTopic(self.prefix + name, num_partitions=1, replication_factor=1, config=specs[name].config()) for name in TOPICS]
        for future in admin.create_topics(made).values():
            future.result(timeout=30)
        until(lambda: self.written() == 0)
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "dataflows.catalog"], env=self.env, stderr=subprocess.DEVNULL)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process = None
        return code

    def put(self, values: Mapping[str, bytes | None]) -> None:
        for key, value in values.items():
            self.producer.produce(self.prefix + "catalog.items", value, key)
        assert self.producer.flush(30) == 0

    def written(self) -> int:
        """How many vectors were ever written."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        try:
            _, high = consumer.get_watermark_offsets(TopicPartition(self.prefix + "catalog.vectors", 0), timeout=10)
        except KafkaException:
            return -1
        finally:
            consumer.close()
        return high

    def read(self, name: str) -> list[tuple[str, bytes | None]]:
        """Every record of a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        place = TopicPartition(self.prefix + name, 0, 0)
        _, high = consumer.get_watermark_offsets(place, timeout=10)
        consumer.assign([place])
        records: list[tuple[str, bytes | None]] = []
        while len(records) < high:
            records.extend(((message.key() or b"").decode(), message.value()) for message in consumer.consume(high - len(records), 1.0))
        consumer.close()
        return records

    def newest(self, name: str) -> dict[str, bytes]:
        """What compaction would leave of a topic."""
        return {key: value for key, value in dict(self.read(name)).items() if value is not None}

    def segment(self) -> SegmentAnnounced | None:
        value = self.newest("catalog.segments").get("items")
        return None if value is None else decode(SegmentAnnounced, value)


@pytest.fixture
def catalog(kafka: str, redis_url: str, admin: AdminClient, tmp_path: Path) -> Iterator[Catalog]:
    part = Catalog(kafka, redis_url, admin, tmp_path)
    yield part
    if part.process is not None:
        part.process.kill()
        part.process.wait()
    part.redis.close()


def until(check: Callable[[], bool], *, seconds: float = 40.0) -> float:
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.1)
    return time.monotonic() - started


def some(n: int, word: str = "pasta") -> dict[str, bytes]:
    items = [
        CatalogItem(video_id=f"v{i}", title=f"the quick {word} of day {i}", tags=(f"tag{i % 40}",), creator_id=f"c{i % 900}")
        for i in range(n)
    ]
    return {item.video_id: encode(item) for item in items}


def expected(records: list[tuple[str, bytes | None]]) -> dict[str, ItemVector]:
    make = VectorUpserts(vectors=ContentVectors(), simhash=SimHash())
    good, _ = make([Upsert(offset, key.encode(), value) for offset, (key, value) in enumerate(records)])
    return {video_id: vector for video_id, vector in good.items() if vector is not None}


def vectors(catalog: Catalog) -> dict[str, ItemVector]:
    return {key: decode(ItemVector, value) for key, value in catalog.newest("catalog.vectors").items()}


def test_upserts_become_vectors_and_a_segment_and_deletions_take_them_out(catalog: Catalog) -> None:
    catalog.start()
    catalog.put(some(300))
    until(lambda: len(catalog.newest("catalog.vectors")) == 300)
    until(lambda: (segment := catalog.segment()) is not None and segment.count == 300)
    catalog.put({"v7": None, "new": encode(CatalogItem(video_id="new", tags=("chess",))), "bad": b"{"})
    took = until(
        lambda: {"new"} == {key for key, _ in catalog.read("catalog.vectors")[300:] if key != "v7"} and "v7" not in vectors(catalog)
    )
    assert took < 2
    assert vectors(catalog) == expected(catalog.read("catalog.items"))
    until(lambda: catalog.redis.get(video_vector("new")) == vectors(catalog)["new"].vector)
    until(lambda: catalog.redis.get(video_vector("v7")) is None)
    until(lambda: (segment := catalog.segment()) is not None and segment.vectors_offset == 302)
    announced = catalog.segment()
    assert announced is not None
    segment = open_segment(catalog.home / "segments", announced)
    assert segment.ids == sorted(vectors(catalog))
    labels, similarities = segment.search(np.frombuffer(vectors(catalog)["new"].vector, dtype=np.int8), 1)
    assert segment.ids[labels[0]] == "new"
    assert similarities[0] > 15_000
    letters = [decode(DeadLetter, value) for value in catalog.newest("telemetry.dlq").values()]
    assert [(letter.reason, letter.offset, letter.key, letter.raw) for letter in letters] == [(ReasonCode.MALFORMED, 302, b"bad", b"{")]
    assert catalog.end(signal.SIGTERM) == 0


def test_a_killed_catalogue_goes_on_and_ends_with_the_same_vectors(catalog: Catalog) -> None:
    for word in ("pasta", "pizza", "chess"):
        written = catalog.written()
        catalog.start()
        catalog.put(some(4_000, word))
        until(lambda: catalog.written() > written + 100)  # noqa: B023  # called before the next turn
        catalog.end(signal.SIGKILL)
        catalog.put({"v1": None, "v2": None})
    catalog.start()
    want = expected(catalog.read("catalog.items"))
    assert len(want) == 3_998
    until(lambda: vectors(catalog) == want)
    until(lambda: (segment := catalog.segment()) is not None and segment.count == 3_998)
    assert catalog.end(signal.SIGTERM) == 0
    assert catalog.written() < 13_000


def test_a_restart_without_changes_builds_no_segment_and_writes_no_vector(catalog: Catalog) -> None:
    catalog.start()
    catalog.put(some(50))
    until(lambda: (segment := catalog.segment()) is not None and segment.count == 50)
    assert catalog.end(signal.SIGTERM) == 0
    before = len(catalog.read("catalog.vectors")), len(catalog.read("catalog.segments"))
    catalog.start()
    until(lambda: (catalog.home / "logs" / "catalog.log").read_text().count('"tables recovered"') == 2)
    time.sleep(4)
    assert (len(catalog.read("catalog.vectors")), len(catalog.read("catalog.segments"))) == before
    assert catalog.end(signal.SIGTERM) == 0
