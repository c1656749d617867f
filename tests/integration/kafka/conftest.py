"""Helpers of the tests of our source and sink: write, read, wait, and flows as processes of their own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

Process: TypeAlias = "subprocess.Popen[bytes]"
Spawn: TypeAlias = Callable[..., Process]
Write: TypeAlias = Callable[..., None]
ReadAll: TypeAlias = Callable[[str], list[Message]]
Eventually: TypeAlias = Callable[..., None]

PROGRAMS = Path(__file__).with_name("programs.py")


@pytest.fixture
def connection(kafka: str) -> dict[str, str | int | float | bool]:
    """Connection properties of the session's broker."""
    return {"bootstrap.servers": kafka}


@pytest.fixture
def write(kafka: str) -> Write:
    """Write `(key, value)` pairs, to one partition or in turn to several."""

    def write(topic: str, records: Iterable[tuple[bytes | None, bytes | None]], partitions: Iterable[int] = (0,)) -> None:
        producer = Producer({"bootstrap.servers": kafka, "linger.ms": 1})
        places = list(partitions)
        for n, (key, value) in enumerate(records):
            producer.produce(topic, value, key, places[n % len(places)])
        assert producer.flush(20) == 0

    return write


@pytest.fixture
def read_all(kafka: str) -> ReadAll:
    """Read a topic from its first to its last message."""

    def read_all(topic: str) -> list[Message]:
        consumer = Consumer({"bootstrap.servers": kafka, "group.id": "reader", "enable.partition.eof": True})
        places = [TopicPartition(topic, n, 0) for n in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
        consumer.assign(places)
        messages: list[Message] = []
        ends = 0
        while ends < len(places):
            for message in consumer.consume(500, 0.05):
                if message.error() is None:
                    messages.append(message)
                else:
                    ends += 1
        consumer.close()
        return messages

    return read_all


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds."""

    def wait(holds: Callable[[], bool], within_s: float = 20.0, every_s: float = 0.05) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, f"not within {within_s} s"
            time.sleep(every_s)

    return wait


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start a flow of `programs.py` as a process; what still runs at the end is killed."""
    running: list[Process] = []

    def start(name: str, **options: Any) -> Process:
        with (tmp_path / "flows.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, PROGRAMS, name, json.dumps(options)], stdout=log, stderr=log)
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
