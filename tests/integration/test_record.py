"""Recording from the real broker: ends, beginnings that are gone, instants, segments that are not there."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from operators.index.builder import SegmentBuilder, publish
from operators.replay.columns import PartReader, Record
from operators.replay.manifest import Manifest
from schemas.catalog import SegmentAnnounced
from schemas.codec import encode
from schemas.settings import Settings
from schemas.topics import load_topics
from serving.errors import ConfigError
from serving.record import record

pytestmark = pytest.mark.integration

Put = Callable[..., None]


@pytest.fixture
def settings(kafka: str, admin: AdminClient, tmp_path: Path) -> Settings:
    """A namespace of topics; none is compacted, so that records can be taken away."""
    prefix = f"record-{uuid.uuid4().hex[:8]}."
    topics = [NewTopic(prefix + one.name, num_partitions=one.partitions, replication_factor=1) for one in load_topics().values()]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    return Settings(home=tmp_path / "home", bootstrap_servers=kafka, topic_prefix=prefix)


@pytest.fixture
def put(settings: Settings) -> Put:
    """Produce a record, and wait until it is there."""
    producer = Producer({**settings.kafka(), "linger.ms": 0})

    def one(topic: str, key: str, value: bytes | None, *, partition: int = 0, headers: list[tuple[str, bytes]] | None = None) -> None:
        producer.produce(settings.topic_prefix + topic, value, key.encode(), partition, headers=headers)  # type: ignore[arg-type]
        assert producer.flush(20) == 0

    return one


def read(folder: Path, topic: str, partition: int = 0) -> list[Record]:
    with PartReader(folder / f"{topic}-{partition}.parquet") as reader:
        return list(reader.records())


def test_every_record_is_copied_up_to_the_end_of_the_call(settings: Settings, put: Put, tmp_path: Path) -> None:
    for n in range(5):
        put("features.items", f"video:{n}", b"%d" % n)
    put("features.items", "video:3", None)
    put("feed.responses", "r", b"answer", partition=5, headers=[("attempt", b"2"), ("x", b"")])
    told: list[tuple[str, int, int]] = []
    done = record(settings, tmp_path / "run", on_progress=lambda *progress: told.append(progress))
    assert [one.value for one in read(tmp_path / "run", "features.items")] == [b"0", b"1", b"2", b"3", b"4", None]
    (answer,) = read(tmp_path / "run", "feed.responses", 5)
    assert (answer.offset, answer.key, answer.value, answer.headers) == (0, b"r", b"answer", (("attempt", b"2"), ("x", b"")))
    assert abs(answer.timestamp_ms - time.time() * 1_000) < 60_000
    assert (done.records, told[-1][1:]) == (7, (7, 7))
    assert Manifest.load(tmp_path / "run") == done.manifest
    assert all((part.missing, part.whole_from) == (0, 0) for part in done.manifest.parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_records_that_are_gone_are_counted(settings: Settings, put: Put, admin: AdminClient, tmp_path: Path) -> None:
    for topic in ("models.online", "feed.served"):
        for n in range(6):
            put(topic, "key", b"%d" % n)
        place = TopicPartition(settings.topic_prefix + topic, 0, 4)
        admin.delete_records([place])[place].result(timeout=20)
    manifest = record(settings, tmp_path / "run").manifest
    (weights,) = manifest.of("models.online")
    assert (weights.start, weights.end, weights.records, weights.missing, weights.whole_from) == (4, 6, 2, 4, 5)
    served = manifest.of("feed.served")[0]
    assert (served.start, served.end, served.records, served.missing) == (4, 6, 2, 0)


def test_answers_can_be_taken_from_an_instant_on_and_side_topics_never(settings: Settings, put: Put, tmp_path: Path) -> None:
    put("feed.responses", "early", b"early")
    put("models.online", "online", b"early")
    time.sleep(0.05)
    since_ms = int(time.time() * 1_000)
    put("feed.responses", "late", b"late")
    record(settings, tmp_path / "run", since_ms=since_ms)
    assert [one.value for one in read(tmp_path / "run", "feed.responses")] == [b"late"]
    assert [one.value for one in read(tmp_path / "run", "models.online")] == [b"early"]
    later = record(settings, tmp_path / "later", since_ms=since_ms + 60_000).manifest
    assert later.of("feed.responses")[0].records == 0


def test_segments_are_copied_and_those_that_are_not_there_are_named(settings: Settings, put: Put, tmp_path: Path) -> None:
    store = settings.home / "segments"
    kept = publish(SegmentBuilder().build({"a": bytes(64)}, dim=64), store, built_ms=1, vectors_offset=1)
    gone = publish(SegmentBuilder().build({"b": bytes(64)}, dim=64), store, built_ms=2, vectors_offset=2)
    changed = publish(SegmentBuilder().build({"c": bytes(64)}, dim=64), store, built_ms=3, vectors_offset=3)
    for file in (store / gone.path).iterdir():
        file.unlink()
    (store / gone.path).rmdir()
    (store / changed.path / "ids.json").write_text("[]")
    outside = SegmentAnnounced(
        segment_id="outside", kind="exact", path="../home/segments", sha256="", dim=64, count=1, built_ms=4, vectors_offset=4
    )
    for announced in (kept, gone, changed, outside):
        put("catalog.segments", "items", encode(announced))
    put("catalog.segments", "items", None)
    artifacts = {one.path: (one.copied, one.why) for one in record(settings, tmp_path / "run").manifest.artifacts}
    assert artifacts == {
        kept.path: (True, ""),
        gone.path: (False, "its files were not in the store"),
        changed.path: (False, "its files are not what was announced"),
        outside.path: (False, "its path leads out of the store"),
    }
    assert [path.name for path in (tmp_path / "run" / "segments").iterdir()] == [kept.path]


def test_a_recording_that_fails_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"topic_prefix": "no-such."})
    with pytest.raises(ConfigError, match="expected a topic of the cluster"):
        record(other, tmp_path / "deep" / "run")
    assert list((tmp_path / "deep").iterdir()) == []
