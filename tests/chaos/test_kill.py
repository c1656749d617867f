"""kill -9 of everything in mid-load, then a recount: nothing acknowledged is lost, nothing is counted twice, no request goes unanswered.

Not part of `make test`; run with `make chaos`. It takes about three minutes.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from benchmarks.openloop import Load
from schemas.feed import FeedRequest
from schemas.telemetry import InteractionType, RawEvent
from serving.client import FeedClient
from serving.connect import current_settings
from serving.errors import PenstockError, TransportError
from serving.local.home import Home
from serving.producer import TelemetryProducer
from serving.reach import redis_client
from serving.state import PartState, read_state
from serving.verify import Verification, Verifier, verify_until_settled

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

_KINDS = (InteractionType.IMPRESSION, InteractionType.WATCH_TIME, InteractionType.LONG_VIEW, InteractionType.LIKE, InteractionType.SKIP)


class _Traffic(threading.Thread):
    """Events at a steady rate, some sent twice, until it is ended; remembers what was acknowledged."""

    def __init__(self, rate: float) -> None:
        super().__init__(daemon=True)
        self.rate = rate
        self.acknowledged: list[str] = []
        self.ended = threading.Event()
        self.failures: list[str] = []

    def run(self) -> None:
        rng = random.Random(7)
        producer = TelemetryProducer(
            current_settings().kafka(), linger=0.0, on_acknowledged=lambda batch: self.acknowledged.extend(e.event_id for e in batch.events)
        )
        started, sent = time.monotonic(), 0
        while not self.ended.is_set():
            while sent < (time.monotonic() - started) * self.rate:
                events = [self._event(rng, sent + n, kind) for n, kind in enumerate(_KINDS)]
                user_id = f"u{rng.randrange(300)}"
                for _ in range(2 if rng.random() < 0.02 else 1):
                    try:
                        producer.send(user_id, events)
                    except TransportError as error:
                        self.failures.append(str(error))
                sent += len(events)
            producer.poll()
            time.sleep(0.005)
        producer.flush(60)

    @staticmethod
    def _event(rng: random.Random, number: int, kind: InteractionType) -> RawEvent:
        video_id = f"v-0-{rng.randrange(500)}"
        value = rng.uniform(0, 30) if kind is InteractionType.WATCH_TIME else None
        return RawEvent(event_id=f"e{number}", video_id=video_id, interaction_type=kind, timestamp=int(time.time() * 1000), value=value)


def _part(home: Home, name: str) -> PartState:
    state = read_state(home)
    assert state is not None
    return next(part for part in state.parts if part.name == name)


def _kill(home: Home, name: str) -> None:
    """Kill a part without a warning and wait until another process does its work."""
    victim = _part(home, name).pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        part = _part(home, name)
        if part.pid not in {None, victim} and part.ready:
            return
        time.sleep(0.1)
    pytest.fail(f"{name} was not ready again within 60 s")


def _recount(acknowledged: list[str]) -> Verification:
    settings = current_settings()
    verifier = Verifier(settings, redis_client(settings))
    try:
        return verify_until_settled(verifier, wait=60, acknowledged_ids=acknowledged)
    finally:
        verifier.close()


def test_kills_of_every_stateful_part_of_the_broker_and_of_redis_lose_and_double_nothing(home: Home) -> None:
    traffic = _Traffic(rate=500)
    traffic.start()
    time.sleep(3)
    for _ in range(3):
        for name in ("ingest", "features", "learning"):
            _kill(home, name)
            time.sleep(1.5)
    for name in ("trending", "cooccurrence", "catalog", "labels", "kafka", "redis"):
        _kill(home, name)
        time.sleep(3)
    traffic.ended.set()
    traffic.join(timeout=90)
    assert traffic.failures == []
    found = _recount(traffic.acknowledged)
    assert found.acknowledged >= len(traffic.acknowledged) > 5_000
    assert (found.lost, found.double, found.counters_wrong) == (0, 0, []), found
    assert found.duplicates > 0
    assert found.counters_checked > 10_000


def test_a_killed_feed_worker_leaves_no_request_unanswered(home: Home) -> None:
    load = Load(100.0)
    with FeedClient(current_settings().kafka(), timeout=5.0, hedge_after=0.1) as client:
        for number in range(50):
            client.feed(f"warm-{number}")
        started = time.monotonic()
        futures = []
        for number in range(1_500):
            due = started + number / load.rate
            time.sleep(max(due - time.monotonic(), 0.0))
            future = client.submit(FeedRequest(user_id=f"u{number % 300}", shadow=True))
            future.add_done_callback(lambda _, due=due: load.latencies_ms.append((time.monotonic() - due) * 1000))  # type: ignore[misc]
            futures.append(future)
            if number == 300:
                victim = _part(home, "feed-0").pid
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
        for future in futures:
            try:
                future.result(timeout=10)
            except PenstockError:
                load.failed += 1
        ordered = sorted(load.latencies_ms)
        print(f"hedged {client.counts.hedged}, p50 {ordered[750]:.1f} ms, p99 {ordered[1485]:.1f} ms, worst {ordered[-1]:.1f} ms")  # noqa: T201
    assert load.failed == 0
    assert len(load.latencies_ms) == 1_500


def test_pages_of_one_person_never_repeat_an_item_also_when_workers_die_between_them(home: Home) -> None:
    seen: list[str] = []
    with FeedClient(current_settings().kafka(), timeout=10.0, hedge_after=0.1) as client:
        for number in range(12):
            seen += [item.video_id for item in client.feed("pager", limit=20).items]
            if number in {3, 7}:
                victim = _part(home, f"feed-{number // 4 % 2}").pid
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
    assert len(seen) == 240
    assert len(set(seen)) == len(seen)


def test_a_log_of_each_kill_says_what_was_started_again(home: Home) -> None:
    restarts = {name: _part(home, name).restarts for name in ("ingest", "features", "learning", "kafka", "redis")}
    assert all(restarts[name] >= 3 for name in ("ingest", "features", "learning")), restarts
    assert all(restarts[name] >= 1 for name in ("kafka", "redis")), restarts
    assert Path(home.logs / "supervisor.log").stat().st_size > 0
