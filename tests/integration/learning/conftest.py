"""Topics of their own, people who look at what was served, and the labels and learning parts as processes."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dataflows.secrets_file import token_secret
from operators.ranking.features import FEATURE_SET, N_FEATURES
from operators.tokens import sign_page
from schemas.codec import encode
from schemas.feed import CandidateTable, Level, ReadState, ServedItem, ServedRecord
from schemas.partition import partition_for
from schemas.settings import CHECKOUT, Settings
from schemas.telemetry import Event, InteractionType, Origin
from schemas.topics import load_topics

READY_S = 40.0
PEOPLE = 120


class PartProcess:
    """One part as a process of its own, that can be killed and started again."""

    def __init__(self, settings: Settings, name: str, *, worker: int = 0, workers: int = 1) -> None:
        self.settings = settings
        self.name = name if workers == 1 else f"{name}-{worker}"
        self.module = f"dataflows.{name}"
        self.worker = worker
        self.workers = workers
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        port_file = self.settings.home / "run" / f"{self.name}.port"
        port_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PENSTOCK_HOME": str(self.settings.home),
            "PENSTOCK_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "PENSTOCK_TOPIC_PREFIX": self.settings.topic_prefix,
            "PENSTOCK_PART": self.name,
            "PENSTOCK_WORKER": str(self.worker),
            "PENSTOCK_WORKERS": str(self.workers),
        }
        self.process = subprocess.Popen([sys.executable, "-m", self.module], env=environment, cwd=CHECKOUT)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}"
            if port_file.exists() and self._metrics(int(port_file.read_text())).get("penstock_ready") == 1:
                return
            time.sleep(0.05)
        pytest.fail(f"{self.name} was not ready within {READY_S:.0f} s")

    def metrics(self) -> dict[str, float]:
        """Return the process's metrics."""
        return self._metrics(int((self.settings.home / "run" / f"{self.name}.port").read_text()))

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of a topic of which it shows a lag."""
        name = re.escape(self.settings.topic_prefix + topic)
        found = (re.fullmatch(rf'penstock_partition_lag{{partition="(\d+)",topic="{name}"}}', one) for one in self.metrics())
        return sorted(int(one[1]) for one in found if one is not None)

    def _metrics(self, port: int) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def kill(self) -> None:
        """Kill it without a warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it cleanly; return its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


class World:
    """People who are served pages and do things with them; seeded."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.secret = token_secret(settings)
        self.producer = Producer({**settings.kafka(), "linger.ms": 2})
        self.random = random.Random(11)
        self.rows = np.random.default_rng(12)
        self.requests = 0
        self._offsets = [0] * 4

    def serve(self, *, shadow: bool = False, items: int = 10) -> tuple[str, ServedRecord, list[str]]:
        """Answer somebody's request: the lineage record goes out; return (person, record, tokens)."""
        person, now_ms = f"p{self.random.randrange(PEOPLE)}", int(time.time() * 1000)
        request_id = f"r{self.requests}"
        self.requests += 1
        videos = [f"v{one}" for one in self.random.sample(range(500), items)]
        record = ServedRecord(
            request_id=request_id,
            user_id=person,
            worker="feed-0",
            sequence=self.requests,
            now_ms=now_ms,
            request=b'{"user_id":"' + person.encode() + b'"}',
            read=ReadState(),
            offsets={},
            segment_id=None,
            model_versions={"online": "1"},
            seed=1,
            level=Level.FULL,
            shadow=shadow,
            sources=[],
            reasons=[],
            candidates=CandidateTable(video_ids="", sources=b"", dropped=b"", scores=b""),
            ranked=videos,
            items=[ServedItem(video_id=one, rank=i, source="s", score=0.0, propensity=0.9) for i, one in enumerate(videos)],
            feature_set=FEATURE_SET,
            features=self.rows.normal(size=(N_FEATURES, items)).astype(np.float32).tobytes(),
            response_sha256="",
        )
        self.put("feed.served", person, encode(record))
        propensities = [one.propensity for one in record.items]
        tokens = sign_page(
            self.secret, request_id=request_id, video_ids=videos, now_ms=now_ms, propensities=propensities, policy="p", model_version="1"
        )
        return person, record, tokens

    def look(self, person: str, record: ServedRecord, tokens: list[str], *, repeat: float = 0.0) -> None:
        """Let the person look at the first items of a page: some are skipped, some watched to the end and liked."""
        for place in range(self.random.randrange(1, 5)):
            video, token = record.items[place].video_id, None if record.shadow else tokens[place]
            watched = self.random.random() < 0.5
            kinds = [InteractionType.IMPRESSION, InteractionType.WATCH_TIME if watched else InteractionType.SKIP]
            kinds += [InteractionType.LONG_VIEW] if watched and record.shadow else []
            kinds += [InteractionType.LIKE] if watched and self.random.random() < 0.3 else []
            for kind in kinds:
                data = self._event(person, video, kind, token)
                for _ in range(2 if self.random.random() < repeat else 1):
                    self.put("telemetry.events", person, data)

    def live(self, seconds: float, *, per_second: int, repeat: float = 0.0) -> threading.Thread:
        """Serve and look for a while, in a thread; every third page is a shadow's, looked at by upstream."""

        def run() -> None:
            for n in range(int(seconds * per_second)):
                person, record, tokens = self.serve(shadow=n % 3 == 0)
                self.look(person, record, tokens, repeat=repeat)
                time.sleep(1 / per_second)
            self.flush()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def put(self, topic: str, key: str, value: bytes) -> None:
        """Produce a record as ingest or feed would."""
        partition = partition_for(key.encode(), load_topics()[topic].partitions)
        self.producer.produce(self.settings.topic_prefix + topic, value, key.encode(), partition)
        self.producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has everything."""
        assert self.producer.flush(30) == 0

    def _event(self, person: str, video: str, kind: InteractionType, token: str | None) -> bytes:
        now_ms = int(time.time() * 1000)
        raw = partition_for(person.encode(), 4)
        self._offsets[raw] += 1
        event = Event(
            event_id=uuid.uuid4().hex,
            user_id=person,
            video_id=video,
            interaction_type=kind,
            timestamp_ms=now_ms,
            received_ms=now_ms,
            origin=Origin(raw, self._offsets[raw], 0),
            value=20.0 if kind is InteractionType.WATCH_TIME else None,
            tracking_token=token,
            source="upstream" if token is None else "client",
            duration_ms=15_000,
        )
        return encode(event)


def read_all(settings: Settings, topic: str) -> list[Message]:
    """Return every record of a topic, by partition and offset."""
    own = {"group.id": "test", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**settings.kafka(), **own})
    name, out = settings.topic_prefix + topic, []
    count = len(consumer.list_topics(name, timeout=10).topics[name].partitions)
    consumer.assign([TopicPartition(name, partition, 0) for partition in range(count)])
    ended: set[int] = set()
    while len(ended) < count:
        message = consumer.poll(10)
        assert message is not None
        error = message.error()
        if error is None:
            out.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ended.add(message.partition() or 0)
    consumer.close()
    return sorted(out, key=lambda one: (one.partition() or 0, one.offset() or 0))


@pytest.fixture
def parts(world: World) -> Iterator[dict[str, PartProcess]]:
    """The two parts, started; whatever runs at the end is ended."""
    made = {name: PartProcess(world.settings, name) for name in ("labels", "learning")}
    try:
        for part in made.values():
            part.start()
        yield made
    finally:
        for part in made.values():
            part.stop()


@pytest.fixture
def world(kafka: str, admin: AdminClient, tmp_path: Path) -> World:
    """Every topic, empty, and people."""
    prefix = f"learn-{uuid.uuid4().hex[:8]}."
    topics = [NewTopic(prefix + one.name, num_partitions=one.partitions, config=one.config()) for one in load_topics().values()]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    return World(Settings(home=tmp_path, bootstrap_servers=kafka, topic_prefix=prefix))
