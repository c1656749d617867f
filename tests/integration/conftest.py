"""A home whose parts are tiny programs, on the broker and the Redis of the session."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.local import Home
from serving.parts import PartSpec
from serving.state import SystemState
from serving.system import Wanted, down, up
from tests.integration.running import PARTS, Start, database, parts_of


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Home]:
    """A home of its own, taken down whatever happens."""
    home = Home(tmp_path / "home")
    yield home
    down(home)
    assert not parts_of(home)


@pytest.fixture
def own_redis(redis_url: str) -> str:
    """A database of its own, empty: its rows of people are one system's."""
    return database(redis_url, 1)


@pytest.fixture
def start(own: Home, kafka: str, own_redis: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start tiny parts by name on the services of the session, and as many workers of one that is called wide."""
    monkeypatch.setenv("PYTHONPATH", str(PARTS))
    # the topics of a prefix are one system's, and every test is another one on the same broker
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", f"t{uuid.uuid4().hex[:8]}.")

    def go(*names: str, wait: bool = True, sharded: int = 0) -> SystemState | None:
        parts = tuple(PartSpec(name, f"tiny_{name.partition('-')[0]}") for name in names)
        parts += tuple(PartSpec(f"wide-{n}", "tiny_steady", part="wide", worker=n, workers=sharded) for n in range(sharded))
        return up(own, Wanted(parts=parts, bootstrap_servers=kafka, redis_url=own_redis, wait=wait, stop_within_s=1.0), lambda _text: None)

    return go
