"""Event → feature and event → changed feed while events flow."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from benchmarks.rows import Row, percentile
from benchmarks.system import System
from schemas.telemetry import InteractionType, RawEvent
from serving.client import FeedClient
from serving.probe import FreshnessProbe
from serving.producer import TelemetryProducer
from serving.reach import redis_client

RATE = 500.0
_KINDS = (InteractionType.IMPRESSION, InteractionType.WATCH_TIME, InteractionType.WATCH_25, InteractionType.LONG_VIEW, InteractionType.LIKE)


def rows(system: System, *, seconds: float) -> Iterator[Row]:
    """Probe while `RATE` events a second of random people and videos flow."""
    ended = threading.Event()
    sent = [0]
    background = threading.Thread(target=_events, args=(system, ended, sent), daemon=True)
    kafka, prefix = system.settings.kafka(), system.settings.topic_prefix
    with (
        FeedClient(kafka, topic_prefix=prefix, timeout=10.0) as client,
        TelemetryProducer(kafka, topic_prefix=prefix, linger=0.0) as producer,
    ):
        probe = FreshnessProbe(client, producer, redis_client(system.settings), every=0.2)
        background.start()
        time.sleep(3)
        started, before = time.monotonic(), sent[0]
        probe.start()
        time.sleep(seconds)
        rate = (sent[0] - before) / (time.monotonic() - started)
        probe.end()
        ended.set()
        background.join()
    found = probe.freshness
    method = f"{len(found.event_to_feed_ms)} probes ({found.missed} missed) at {rate:.0f} events/s; from the call that sends the event"
    for name, values in (("event → feature", found.event_to_feature_ms), ("event → changed feed", found.event_to_feed_ms)):
        for label, q in (("p50", 0.5), ("p99", 0.99)):
            yield Row(name=f"{name} {label}", value=percentile(values, q), unit="ms", method=method)


def _events(system: System, ended: threading.Event, sent: list[int]) -> None:
    rng = random.Random(1)
    producer = TelemetryProducer(system.settings.kafka(), topic_prefix=system.settings.topic_prefix, linger=0.0)
    started = time.monotonic()
    with producer:
        while not ended.is_set():
            due = (time.monotonic() - started) * RATE
            while sent[0] < due:
                now_ms = int(time.time() * 1000)
                user_id, video_id = rng.choice(system.users), rng.choice(system.videos)
                events = [
                    RawEvent(
                        event_id=f"bench-{now_ms}-{sent[0]}-{n}",
                        video_id=video_id,
                        interaction_type=kind,
                        timestamp=now_ms,
                        value=4.0 if kind is InteractionType.WATCH_TIME else None,
                    )
                    for n, kind in enumerate(_KINDS)
                ]
                producer.send(user_id, events)
                sent[0] += len(events)
            time.sleep(0.01)
