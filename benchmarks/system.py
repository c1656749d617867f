"""A whole system in a folder of its own, with a catalogue and people, for benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient

from benchmarks.rows import Row
from schemas.settings import CHECKOUT, Settings
from schemas.topics import load_topics
from serving.connect import current_settings
from serving.kuairand import read_folder
from serving.loading import publish_before_the_stream
from serving.local.home import Home
from serving.parts import choose_parts
from serving.publisher import Publisher
from serving.settled import wait_until_settled
from serving.silence import samples
from serving.simulator import World
from serving.state import SystemState, read_state
from serving.system import Wanted, down, up
from serving.topics import apply_topics, plan_topics


@dataclass(frozen=True, slots=True)
class System:
    """A running system: where it is, whom it knows, and how long its start took."""

    settings: Settings
    home: Home
    users: list[str]
    videos: list[str]
    start_rows: list[Row]

    def state(self) -> SystemState:
        """Return how its parts are."""
        state = read_state(self.home)
        assert state is not None
        return state


@contextmanager
def running(root: Path, folder: Path | None) -> Iterator[System]:
    """Start a system in `root`, fill it (from a KuaiRand folder, else from the simulator at the same size), stop it at the end."""
    os.environ["PENSTOCK_HOME"] = str(root)
    home = Home.default()
    rows = []
    started = time.monotonic()
    up(home, Wanted(parts=choose_parts(), fresh=True), print)
    rows.append(
        Row(name="start: all parts ready", value=time.monotonic() - started, unit="s", method="`penstock up --fresh`, jars in the cache")
    )
    try:
        settings = current_settings()
        filled = time.monotonic()
        users, videos = _fill(settings, folder)
        wait_until_settled(home, timeout=300.0)
        rows.append(
            Row(
                name="start: catalogue and histories worked in",
                value=time.monotonic() - filled,
                unit="s",
                method=f"{len(videos)} videos, {len(users)} people, until no part lags",
            )
        )
        yield System(settings, home, users, videos, rows)
    finally:
        down(home)


def _fill(settings: Settings, folder: Path | None) -> tuple[list[str], list[str]]:
    if folder is not None:
        log = read_folder(folder)
        publish_before_the_stream(settings, log)
        return [str(user) for user in log.histories.user_id.tolist()], [str(video) for video in log.catalogue.video_id.tolist()]
    world = World(seed=0, people=2_000, videos=7_583)
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        catalogue = world.catalogue(int(time.time() * 1000))
        for item in catalogue:
            publisher.publish("catalog.items", item.video_id, item)
    return [person.user_id for person in world.people], [item.video_id for item in catalogue]


def prefixed(settings: Settings, prefix: str) -> Settings:
    """Return settings for topics of another prefix on the same broker, and make those topics."""
    other = settings.model_copy(update={"topic_prefix": prefix})
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    apply_topics(admin, plan_topics(admin, load_topics().values(), prefix=prefix))
    return other


@contextmanager
def process(module: str, settings: Settings, name: str, more: Mapping[str, str] | None = None) -> Iterator[psutil.Process]:
    """Run a module as a process of its own with these settings, and end it."""
    environment = {
        **os.environ,
        "PENSTOCK_HOME": str(settings.home),
        "PENSTOCK_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "PENSTOCK_REDIS_URL": settings.redis_url,
        "PENSTOCK_TOPIC_PREFIX": settings.topic_prefix,
        "PENSTOCK_PART": name,
        "OPENBLAS_NUM_THREADS": "1",
        **(more or {}),
    }
    child = subprocess.Popen([sys.executable, "-m", module], env=environment, cwd=CHECKOUT)
    try:
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def metrics(home: Path, name: str) -> dict[str, float]:
    """Return the plain metrics of a part, nothing while it does not answer."""
    import http.client

    try:
        connection = http.client.HTTPConnection("127.0.0.1", int((home / "run" / f"{name}.port").read_text()), timeout=2)
        connection.request("GET", "/metrics")
        found = samples(connection.getresponse().read().decode())
        return {name: value for (name, label), value in found.items() if not label}
    except (OSError, ValueError):
        return {}
