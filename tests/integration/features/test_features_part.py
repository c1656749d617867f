"""The features part as a process of its own, over a real broker and a real Redis, killed at any moment."""

from __future__ import annotations

import os
import shutil
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

from dataflows.store import UserStore, connect
from operators.examples import T0_MS, histories, traffic
from operators.profiles.seen import hashes, probe
from schemas.codec import decode, encode, unpack
from schemas.features import EntityCounters, Profile, UserState
from schemas.keys import SEEN_BEFORE_STREAM
from schemas.partition import partition_for
from schemas.settings import CHECKOUT, Settings
from schemas.telemetry import Event, InteractionType
from schemas.topics import load_topics
from schemas.users import UserRecord
from serving.local import Home, LocalRedis
from serving.recount import Recount
from serving.topic_reader import last_by_key

pytestmark = pytest.mark.integration

TOPICS = ("telemetry.events", "telemetry.history", "users.records", "features.items")
USERS = 40


class FeaturesPart:
    """The process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port_file = settings.home / "run" / "features.port"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.port_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PENSTOCK_HOME": str(self.settings.home),
            "PENSTOCK_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "PENSTOCK_REDIS_URL": self.settings.redis_url,
            "PENSTOCK_TOPIC_PREFIX": self.settings.topic_prefix,
            "PENSTOCK_PART": "features",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen([sys.executable, "-m", "dataflows.features"], env=environment, cwd=CHECKOUT)

    def processed(self) -> float:
        try:
            with urlopen(f"http://127.0.0.1:{int(self.port_file.read_text())}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        return next((float(line.split()[1]) for line in lines if line.startswith("penstock_processed_total ")), 0.0)

    def wait_for(self, done: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert self.process is not None
            assert self.process.poll() is None, f"features ended with {self.process.returncode} before {what}"
            assert time.monotonic() < deadline, f"features did not reach: {what}"
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


class World:
    """Topics, store, and what was produced."""

    def __init__(self, settings: Settings, redis: LocalRedis) -> None:
        self.settings = settings
        self.redis = redis
        self.producer = Producer({**settings.kafka(), "linger.ms": 5})
        self.store = UserStore(connect(settings, timeout_s=5), rest_s=0)
        self.recount = Recount()

    def put(self, events: list[Event]) -> None:
        for event in events:
            self._produce("telemetry.events", event.user_id, encode(event))
        assert self.producer.flush(30) == 0

    def put_histories(self) -> None:
        for history in histories(1, users=USERS):
            self._produce("telemetry.history", history.user_id, encode(history))
        assert self.producer.flush(30) == 0

    def put_record(self, user_id: str, record: UserRecord | None) -> None:
        self._produce("users.records", user_id, None if record is None else encode(record))
        assert self.producer.flush(30) == 0

    def expect(self, events: list[Event]) -> None:
        for event in events:
            self.recount.add(event)

    def state(self, user_id: str) -> UserState | None:
        (read,) = self.store.read([user_id], [T0_MS])
        return None if read.state is None else unpack(UserState, read.state)

    def entities(self) -> dict[str, EntityCounters]:
        newest = last_by_key(self.settings, "features.items")
        return {key.decode(): decode(EntityCounters, message.value() or b"") for key, message in newest.items()}

    def wrong(self) -> list[object]:
        """Return every counter that differs from a recount, of people, people's tags, videos, creators and tags."""
        wrong, entities = self.wrong_people(), self.entities()
        for entity in self.recount.counts:
            if not entity.startswith("user:"):
                published = entities.get(entity)
                wrong += [f"no {entity}"] if published is None else self.recount.compare(entity, published.totals, published.panes)
        return wrong

    def wrong_people(self) -> list[object]:
        """Return every counter of people that differs from a recount."""
        wrong: list[object] = []
        for entity in self.recount.counts:
            if entity.startswith("user:"):
                name, _, tag = entity.removeprefix("user:").partition("/tag:")
                state = self.state(name)
                if state is None:
                    wrong.append(f"no state of {name}")
                    continue
                counted = state.tags.get(tag) if tag else state
                wrong += [f"no {entity}"] if counted is None else self.recount.compare(entity, counted.totals, counted.panes)
        return wrong

    def _produce(self, topic: str, key: str, value: bytes | None) -> None:
        name = key.encode()
        self.producer.produce(self.settings.topic_prefix + topic, value, name, partition_for(name, load_topics()[topic].partitions))
        self.producer.poll(0)


@pytest.fixture
def world(kafka: str, admin: AdminClient, tmp_path: Path) -> Iterator[World]:
    prefix = f"features-{uuid.uuid4().hex[:8]}."
    specs = [load_topics()[name] for name in TOPICS]
    made = admin.create_topics(
        [NewTopic(prefix + one.name, num_partitions=one.partitions, replication_factor=1, config=one.config()) for one in specs]
    )
    for one in made.values():
        one.result(timeout=30)
    redis = LocalRedis(Home(tmp_path / "redis").create(), port=0)
    try:
        url = redis.start()
        yield World(Settings(home=tmp_path, bootstrap_servers=kafka, redis_url=url, topic_prefix=prefix), redis)
    finally:
        redis.stop()


@pytest.fixture
def part(world: World) -> Iterator[FeaturesPart]:
    one = FeaturesPart(world.settings)
    yield one
    if one.process is not None and one.process.poll() is None:
        one.kill()


def test_an_event_is_readable_in_redis_and_on_the_topic(world: World, part: FeaturesPart) -> None:
    part.start()
    events = traffic(1, 200, users=USERS)
    world.put(events)
    world.expect(events)
    part.wait_for(lambda: part.processed() >= 200, "200 events")
    part.wait_for(lambda: world.wrong() == [], "every counter right")
    shown = next(event for event in events if event.interaction_type is InteractionType.IMPRESSION)
    (read,) = world.store.read([shown.user_id], [T0_MS])
    assert probe(list(read.seen.values()), hashes([shown.video_id, "never"])).tolist() == [True, False]
    assert part.stop() == 0


def test_counters_are_exact_after_kill_9_at_any_moment(world: World, part: FeaturesPart) -> None:
    events = traffic(2, 16_000, users=USERS, videos=300)
    # Repeats as ingest makes them after a crash of its own: a stretch of the log comes again.
    world.put_histories()
    world.put([*events[:3_000], *events[2_000:3_000]])
    part.start()
    for n, at in enumerate((3_000, 7_000, 11_000)):
        part.wait_for(lambda: part.processed() > 500, "some events")
        world.put(events[at : at + 4_000])
        time.sleep((0.3, 1.1, 2.6)[n])
        part.kill()
        part.start()
    world.put(events[15_000:])
    world.expect(events)
    part.wait_for(lambda: _is_idle(part), "the end of the log")
    assert world.wrong() == []
    for history in histories(1, users=USERS):
        (read,) = world.store.read([history.user_id], [T0_MS])
        assert probe([read.seen[str(SEEN_BEFORE_STREAM)]], hashes([*history.watched, *history.liked, *history.long_viewed])).all()
    assert part.stop() == 0
    part.start()
    part.wait_for(part.port_file.exists, "a start")
    assert part.stop() == 0
    assert world.wrong() == []


def test_records_of_people_are_in_their_rows_after_kill_9_and_bad_ones_stop_nothing(world: World, part: FeaturesPart) -> None:
    def profile(user_id: str) -> Profile | None:
        state = world.state(user_id)
        return None if state is None else state.profile

    part.start()
    world.put_record("u1", UserRecord(user_id="u1", birth_year=1990, region="us-CA", language="EN", quiz=("t1",)))
    world.put_record("u2", UserRecord(user_id="u2", birth_year=2001))
    world.put_record("u3", UserRecord(user_id="somebody else"))
    part.wait_for(lambda: profile("u2") is not None and profile("u1") is not None, "two profiles")
    assert profile("u1") == Profile(birth_year=1990, region="US", language="en", quiz=("t1",))
    part.kill()
    world.put_record("u2", None)
    events = traffic(5, 500, users=USERS)
    world.put(events)
    world.expect(events)
    part.start()
    part.wait_for(lambda: profile("u2") is None, "the profile to be gone")
    part.wait_for(lambda: world.wrong() == [], "every counter right")
    assert profile("u1") == Profile(birth_year=1990, region="US", language="en", quiz=("t1",))
    assert profile("u3") is None
    assert part.stop() == 0


def test_a_redis_that_is_killed_is_waited_for_and_nothing_is_lost(world: World, part: FeaturesPart) -> None:
    events = traffic(3, 9_000, users=USERS, videos=300)
    part.start()
    world.put(events[:3_000])
    part.wait_for(lambda: part.processed() > 1_000, "some events")
    os.kill(_pid(world.redis), signal.SIGKILL)
    world.put(events[3_000:6_000])
    time.sleep(1.0)
    world.redis.start()
    world.put(events[6_000:])
    world.expect(events)
    # While the store is away the part waits too, so standing still does not mean that it is done.
    part.wait_for(lambda: part.processed() >= 9_000, "the end of the log")
    part.wait_for(lambda: world.wrong() == [], "the right counters")
    assert part.stop() == 0


@pytest.mark.parametrize("with_features", [False, True], ids=["alone", "with features"])
def test_rows_that_redis_acknowledged_and_lost_come_back_without_new_events(
    world: World, part: FeaturesPart, tmp_path: Path, with_features: bool
) -> None:
    events = traffic(6, 3_000, users=USERS, videos=300)
    part.start()
    world.put(events[:2_900])
    world.expect(events[:2_900])
    part.wait_for(lambda: world.wrong_people() == [], "the right counters")
    shutil.copytree(world.redis.folder, tmp_path / "older")
    world.put(events[2_900:])
    world.expect(events[2_900:])
    part.wait_for(lambda: world.wrong_people() == [], "the right counters again")
    assert part.process is not None
    part.process.send_signal(signal.SIGSTOP)  # so that the loss can be seen
    os.kill(_pid(world.redis), signal.SIGKILL)
    shutil.rmtree(world.redis.folder)
    shutil.copytree(tmp_path / "older", world.redis.folder)
    world.redis.start()
    assert world.wrong_people() != []
    if with_features:
        part.kill()
        part.start()
    else:
        part.process.send_signal(signal.SIGCONT)
    part.wait_for(lambda: world.wrong_people() == [], "the lost rows", within_s=20)
    shown = [one for one in events[2_900:] if one.interaction_type is InteractionType.IMPRESSION]
    reads = zip(shown, world.store.read([one.user_id for one in shown], [T0_MS] * len(shown)), strict=True)
    assert all(probe(list(read.seen.values()), hashes([one.video_id])).all() for one, read in reads)
    assert part.stop() == 0


def test_a_store_that_is_wiped_is_built_again_from_the_topics(world: World, part: FeaturesPart) -> None:
    # What is taken back before its history is read stands again, and the two topics are read side by side.
    taken_back = {InteractionType.SKIP, InteractionType.UNLIKE, InteractionType.UNFOLLOW}
    events = [one for one in traffic(4, 5_000, users=USERS) if one.interaction_type not in taken_back]
    world.put_histories()
    world.put(events)
    part.start()
    part.wait_for(lambda: _is_idle(part), "the end of the log")
    before = {user: world.store.read([user], [T0_MS])[0] for user in {event.user_id for event in events}}
    assert part.stop() == 0
    world.store.client.flushall()
    (world.settings.home / "recovery" / "features").rename(world.settings.home / "old")
    part.start()
    part.wait_for(lambda: _is_idle(part), "the end of the log")
    assert {user: world.store.read([user], [T0_MS])[0] for user in before} == before
    assert part.stop() == 0


def _is_idle(part: FeaturesPart) -> bool:
    before = part.processed()
    time.sleep(1.0)
    return 0 < before == part.processed()


def _pid(redis: LocalRedis) -> int:
    status = redis.pid
    assert status is not None
    return status
