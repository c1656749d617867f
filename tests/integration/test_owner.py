"""The topics of a prefix are one system's."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from schemas.keys import SYSTEM_OWNER
from schemas.settings import Settings
from serving.errors import ConfigError
from serving.local import Home
from serving.owner import KEY, TOPIC, Owner, newest_owner, own_record, system_id
from serving.parts import PartSpec
from serving.publisher import Publisher
from serving.state import read_state, supervisor_mark
from serving.system import Wanted, down, up
from tests.integration.running import Start, database, eventually, parts_of, row

pytestmark = pytest.mark.integration


class Other:
    """Another checkout."""

    def __init__(self, home: Home, kafka: str, redis_url: str) -> None:
        self.home = home
        self.kafka = kafka
        self.redis_url = redis_url

    def up(self, *, take_over: bool = False) -> None:
        parts = (PartSpec("steady", "tiny_steady"),)
        wanted = Wanted(parts=parts, bootstrap_servers=self.kafka, redis_url=self.redis_url, take_over=take_over, stop_within_s=1.0)
        up(self.home, wanted, lambda _text: None)

    def owner(self) -> Owner | None:
        """Whose the topics are."""
        return newest_owner(Settings(bootstrap_servers=self.kafka, topic_prefix=os.environ["PENSTOCK_TOPIC_PREFIX"]))

    def owner_id(self) -> str:
        owner = self.owner()
        return "" if owner is None else owner.record.system_id


@pytest.fixture
def other(tmp_path: Path, kafka: str, redis_url: str) -> Iterator[Other]:
    """Another checkout with a database of its own, down at the end."""
    other = Other(Home(tmp_path / "other"), kafka, database(redis_url, 2))
    yield other
    down(other.home)


def test_two_checkouts_with_prefixes_of_their_own_do_not_disturb_each_other(
    start: Start, own: Home, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("steady")
    pid = row(own, "steady").pid
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", f"u{uuid.uuid4().hex[:8]}.")
    other.up()
    assert parts_of(other.home) != parts_of(own)
    assert down(other.home) == ["steady"]
    assert parts_of(own) == [pid]


def test_a_second_system_on_the_same_topics_is_refused_and_takes_them_over_only_when_the_first_is_gone(
    start: Start, own: Home, other: Other
) -> None:
    start("steady")
    eventually(lambda: other.owner() is not None)
    for take_over in (False, True):
        with pytest.raises(ConfigError, match="expected topics that are nobody else's .*, which runs, at .*PENSTOCK_TOPIC_PREFIX"):
            other.up(take_over=take_over)
    assert not other.home.root.exists()

    down(own)
    with pytest.raises(ConfigError, match="which is down, at .*--take-over"):
        other.up()
    other.up(take_over=True)
    eventually(lambda: other.owner_id() == system_id(other.home))
    with pytest.raises(ConfigError, match="which runs"):
        start("steady")
    down(other.home)
    owner = other.owner()
    assert owner is not None
    assert not owner.record.running


def test_a_system_whose_topics_are_taken_by_another_stops_its_parts_and_says_so(
    start: Start, own: Home, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("steady")
    eventually(lambda: other.owner_id() == system_id(own))
    monkeypatch.setattr("serving.owner.SILENT_AFTER_S", -1.0)  # as if it had been silent, cut off from the broker
    other.up(take_over=True)
    eventually(lambda: supervisor_mark(own) is None, within_s=30)
    assert not parts_of(own)
    state = read_state(own)
    assert state is not None
    assert "those of system" in state.fault
    assert row(other.home, "steady").ready


def test_what_somebody_writes_of_a_system_that_does_not_run_or_under_another_key_stops_nothing(
    start: Start, own: Home, other: Other, kafka: str
) -> None:
    start("steady")
    eventually(lambda: other.owner_id() == system_id(own))
    pids = parts_of(own)
    with Publisher({"bootstrap.servers": kafka}, topic_prefix=os.environ["PENSTOCK_TOPIC_PREFIX"]) as publisher:
        publisher.publish(TOPIC, "other", own_record(other.home.create(), up_since_ms=0))
        publisher.publish(TOPIC, KEY, own_record(other.home, up_since_ms=0, running=False))
    assert other.owner_id() == system_id(other.home)
    eventually(lambda: other.owner_id() == system_id(own))
    assert parts_of(own) == pids


def test_the_prefix_of_the_first_start_stays_with_the_home(start: Start, own: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start("steady")
    assert first is not None
    assert first.topic_prefix == os.environ["PENSTOCK_TOPIC_PREFIX"]
    down(own)
    monkeypatch.delenv("PENSTOCK_TOPIC_PREFIX")
    again = start("steady")
    assert again is not None
    assert again.topic_prefix == first.topic_prefix
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", "another.")
    with pytest.raises(ConfigError, match=r"expected topic_prefix .*, got PENSTOCK_TOPIC_PREFIX='another\.'"):
        start("steady")


@pytest.fixture
def same_redis(other: Other, own_redis: str) -> Iterator[Redis]:
    """The other checkout on topics of its own and on the database of the first one: a client of it."""
    other.redis_url = own_redis
    with Redis.from_url(own_redis) as client:
        yield client


def another_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", f"u{uuid.uuid4().hex[:8]}.")


def mark(client: Redis) -> bytes:
    owner = client.hget(SYSTEM_OWNER, "owner")
    assert isinstance(owner, bytes)
    return owner


def test_a_second_system_with_a_prefix_of_its_own_on_the_same_redis_database_is_refused_before_anything_is_made(
    start: Start, own: Home, other: Other, same_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("steady")
    another_prefix(monkeypatch)
    for take_over in (False, True):
        with pytest.raises(ConfigError, match="expected rows of people that are nobody else's, .*, which runs, .* another database number"):
            other.up(take_over=take_over)
    assert not other.home.root.exists()
    down(own)
    with pytest.raises(ConfigError, match="which is down, at penstock:owner in redis://.*--take-over"):
        other.up()
    assert not other.home.root.exists()
    other.up(take_over=True)
    assert mark(same_redis).startswith(system_id(other.home).encode())


def test_a_database_that_was_wiped_is_nobodys_and_its_system_marks_it_again(
    start: Start, own: Home, other: Other, same_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("steady")
    same_redis.flushdb()
    eventually(lambda: bool(same_redis.exists(SYSTEM_OWNER)))
    assert mark(same_redis).startswith(system_id(own).encode())
    down(own)
    same_redis.flushdb()
    another_prefix(monkeypatch)
    other.up()
    assert mark(same_redis).startswith(system_id(other.home).encode())


def test_a_system_whose_database_is_taken_by_one_that_runs_stops_its_parts_and_says_so(
    start: Start, own: Home, other: Other, same_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("steady")
    another_prefix(monkeypatch)
    monkeypatch.setattr("serving.owner.SILENT_AFTER_S", -1.0)  # as if it had been silent
    other.up(take_over=True)
    eventually(lambda: supervisor_mark(own) is None, within_s=30)
    assert not parts_of(own)
    state = read_state(own)
    assert state is not None
    assert "expected rows of people that are ours" in state.fault
    assert row(other.home, "steady").ready


def test_a_local_redis_is_not_started_for_topics_that_are_anothers(start: Start, other: Other) -> None:
    start("steady")
    eventually(lambda: other.owner() is not None)
    wanted = Wanted(parts=(), bootstrap_servers=other.kafka)
    said: list[str] = []
    with pytest.raises(ConfigError, match="which runs"):
        up(other.home, wanted, said.append)
    assert said == []
    assert not other.home.root.exists()
