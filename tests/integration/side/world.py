"""A part of the system as a process, with topics and a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.partition import partition_for
from schemas.settings import CHECKOUT
from schemas.topics import load_topics

Record = tuple[str, bytes | None]


def until(check: Callable[[], bool], *, seconds: float = 60.0) -> float:
    """Wait for something and return how long it took."""
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.1)
    return time.monotonic() - started


READY = '"event":"ready"'


class PartProcess:
    """A part that can be killed and started again."""

    def __init__(self, part: str, topics: Iterable[str], *, bootstrap: str, redis_url: str, admin: AdminClient, home: Path) -> None:
        self.part = part
        self.prefix = f"t{uuid.uuid4().hex[:10]}."
        self.bootstrap = bootstrap
        self.home = home
        self.env = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "PENSTOCK_HOME": str(home),
            "PENSTOCK_BOOTSTRAP_SERVERS": bootstrap,
            "PENSTOCK_REDIS_URL": redis_url,
            "PENSTOCK_TOPIC_PREFIX": self.prefix,
        }
        self.partitions = {name: load_topics()[name].partitions for name in topics}
        made = [
            NewTopic(self.prefix + name, num_partitions=count, replication_factor=1, config=load_topics()[name].config())
            for name, count in self.partitions.items()
        ]
        for future in admin.create_topics(made).values():
            future.result(timeout=30)
        until(lambda: all(self.written(name) == 0 for name in self.partitions))
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._ready_before = self.log().count(READY)
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"dataflows.{self.part}"], env=self.env, cwd=CHECKOUT, stderr=subprocess.DEVNULL
        )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if number == signal.SIGTERM:
            # Before it is ready a process has no handler yet and ends as any other does.
            until(lambda: self.log().count(READY) > self._ready_before)
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        path = self.home / "logs" / f"{self.part}.log"
        return path.read_text() if path.exists() else ""

    def done(self, name: str) -> int:
        """How many records of a topic the part has shown to have read."""
        places = [TopicPartition(self.prefix + name, n) for n in range(self.partitions[name])]
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{self.prefix}penstock.{self.part}"})
        committed = consumer.committed(places, timeout=10)
        consumer.close()
        return sum(max(place.offset, 0) for place in committed)

    def put(self, name: str, records: Iterable[Record]) -> None:
        for key, value in records:
            partition = partition_for(key.encode(), self.partitions[name])
            self.producer.produce(self.prefix + name, value, key, partition)
            self.producer.poll(0)
        assert self.producer.flush(30) == 0

    def written(self, name: str) -> int:
        """How many records were ever written to a topic; -1 while the broker does not say."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        try:
            ends = [consumer.get_watermark_offsets(TopicPartition(self.prefix + name, n), timeout=10) for n in range(self.partitions[name])]
        except KafkaException:
            return -1
        finally:
            consumer.close()
        return sum(high for _, high in ends)

    def read(self, name: str) -> list[Record]:
        """Every record of a topic."""
        wanted = self.written(name)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        consumer.assign([TopicPartition(self.prefix + name, n, 0) for n in range(self.partitions[name])])
        records: list[Record] = []
        while len(records) < wanted:
            records.extend(((message.key() or b"").decode(), message.value()) for message in consumer.consume(wanted - len(records), 1.0))
        consumer.close()
        return records

    def newest(self, name: str) -> dict[str, bytes]:
        """What compaction would leave of a topic."""
        return {key: value for key, value in dict(self.read(name)).items() if value is not None}
