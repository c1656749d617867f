"""Fixtures of the whole suite: one real broker and one real Redis for each pytest session, on free loopback ports."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis

from serving.local import Home, LocalKafka, LocalRedis

MakeTopic = Callable[..., str]


def pytest_addoption(parser: pytest.Parser) -> None:
    fuzz = parser.getgroup("fuzz", "tests/chaos/fuzz")
    fuzz.addoption("--records", type=int, default=100_000, help="records to send")
    fuzz.addoption("--minutes", type=float, default=30.0, help="send no longer than this")
    fuzz.addoption("--seed", type=int, default=0, help="the same seed makes the same records, but for their times")
    fuzz.addoption("--report", type=Path, default=None, help="where the result goes, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    # A plain SIGTERM would end pytest without its finalizers and leave the broker behind.
    session = os.getpid()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == session:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The state folder of this pytest session."""
    return Home(tmp_path_factory.mktemp("penstock")).create()


@pytest.fixture(scope="session")
def kafka(home: Home) -> Iterator[str]:
    """Bootstrap servers of a real broker."""
    broker = LocalKafka(home, port=0)
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def redis_server(home: Home) -> Iterator[str]:
    """URL of a real Redis."""
    server = LocalRedis(home, port=0)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """URL of a real Redis, emptied for this test."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def admin(kafka: str) -> AdminClient:
    """An admin client of the broker."""
    return AdminClient({"bootstrap.servers": kafka})


@pytest.fixture(scope="session")
def make_topic(admin: AdminClient) -> MakeTopic:
    """Make a topic with a unique name: `make_topic(partitions=4, config={"cleanup.policy": "compact"})`."""

    def make(name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        unique = f"{name}.{uuid.uuid4().hex[:12]}"
        wanted = NewTopic(unique, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([wanted])[unique].result(timeout=30)
        return unique

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """A new topic with one partition."""
    return make_topic()
