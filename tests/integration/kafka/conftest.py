"""Helpers of the tests of our source and sink: a broker to write to and to read, and flows as processes of their own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

PROGRAMS = Path(__file__).with_name("programs.py")


class Broker:
    """The session's broker as the tests use it."""

    def __init__(self, servers: str, admin: AdminClient, make_topic: Callable[..., str]) -> None:
        self.servers = servers
        self.admin = admin
        self.make_topic = make_topic
        self._consumer = Consumer(
            {"bootstrap.servers": servers, "group.id": "tests", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
        )

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of a topic."""
        return sorted(self.admin.list_topics(topic, timeout=10).topics[topic].partitions)

    def write(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], partitions: Iterable[int] = (0,)) -> None:
        """Write `(key, value)` pairs, in turn to the given partitions."""
        producer = Producer({"bootstrap.servers": self.servers, "linger.ms": 1})
        places = list(partitions)
        for n, (key, value) in enumerate(records):
            producer.produce(topic, value, key, places[n % len(places)])
        assert producer.flush(20) == 0

    def read_all(self, topic: str) -> list[Message]:
        """Read a topic from its first to its last message, partition by partition."""
        places = [TopicPartition(topic, partition, 0) for partition in self.partitions(topic)]
        self._consumer.assign(places)
        messages: list[Message] = []
        ends = 0
        while ends < len(places):
            message = self._consumer.poll(20)
            assert message is not None
            if message.error() is None:
                messages.append(message)
            else:
                ends += 1
        self._consumer.unassign()
        return sorted(messages, key=lambda message: message.partition() or 0)

    def size(self, topic: str) -> int:
        """Return how many offsets a topic has."""
        return sum(self._consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in self.partitions(topic))

    def committed(self, group: str) -> dict[int, int]:
        """Return the offsets that a group of one topic has committed, per partition."""
        listed = _ask(lambda: self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(timeout=20))
        return {int(part.partition): int(part.offset) for part in listed.topic_partitions}

    def members(self, group: str) -> list[int]:
        """Return how many partitions each member of a group owns."""
        found = _ask(lambda: self.admin.describe_consumer_groups([group])[group].result(timeout=20))
        return sorted(len(member.assignment.topic_partitions) for member in found.members)

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def _ask(question: Callable[[], Any]) -> Any:
    # The first question about groups makes the broker load its coordinator.
    deadline = time.monotonic() + 20
    while True:
        try:
            return question()
        except KafkaException as exception:
            if exception.args[0].code() not in {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE}:
                raise
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="session")
def broker(kafka: str, admin: AdminClient, make_topic: Callable[..., str]) -> Iterator[Broker]:
    """The session's broker."""
    broker = Broker(kafka, admin, make_topic)
    yield broker
    broker.close()


@pytest.fixture
def connection(kafka: str) -> dict[str, str | int | float | bool]:
    """Connection properties of the session's broker."""
    return {"bootstrap.servers": kafka}


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition holds."""

    def wait(holds: Callable[[], bool], within_s: float = 20.0, every_s: float = 0.05) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"not within {within_s} s"
            time.sleep(every_s)

    return wait


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start a flow of `programs.py` as a process; what still runs at the end is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, **options: Any) -> "subprocess.Popen[bytes]":
        with (tmp_path / "flows.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, PROGRAMS, name, json.dumps(options)], stdout=log, stderr=log)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
