"""Events per second per core of the parts that read the stream of events, from the broker and back."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import psutil
from confluent_kafka import Producer

from benchmarks.rows import Row
from benchmarks.system import System, metrics, prefixed, process
from schemas.codec import encode
from schemas.partition import partition_for
from schemas.settings import Settings
from schemas.telemetry import Event, InteractionType, Origin, RawEvent, TelemetryBatch
from schemas.topics import load_topics

_KINDS = (InteractionType.IMPRESSION, InteractionType.WATCH_TIME, InteractionType.WATCH_25, InteractionType.LONG_VIEW, InteractionType.LIKE)
_BATCH = 5
_START_MS = 1_700_000_000_000
_GIVE_UP_S = 300.0


def rows(system: System, *, events: int) -> Iterator[Row]:
    """Fill a topic, start the part alone on it, and divide the events by the CPU time until nothing is left."""
    for part in ("ingest", "features", "trending", "cooccurrence"):
        settings = prefixed(system.settings, f"bench-{part}.").model_copy(update={"home": system.home.root / f"bench-{part}"})
        settings.home.mkdir(mode=0o700, exist_ok=True)
        (_fill_raw if part == "ingest" else _fill_clean)(settings, events)
        with process(f"dataflows.{part}", settings, part) as running:
            wall_s, cpu_s = _work_off(settings, part, running, events)
        method = f"{events} events waiting on the topic, 10,000 people, 7,583 videos, one tag each of 111; other parts idle"
        yield Row(name=f"{part} throughput per core", value=events / cpu_s, unit="events/s per CPU second", method=method)
        yield Row(name=f"{part} throughput", value=events / wall_s, unit="events/s", method=method + "; wall time, broker beside it")


def _work_off(settings: Settings, part: str, running: psutil.Process, events: int) -> tuple[float, float]:
    deadline = time.monotonic() + _GIVE_UP_S
    started = started_cpu_s = None
    while time.monotonic() < deadline:
        done = metrics(settings.home, part).get("penstock_processed_total", 0.0)
        times = running.cpu_times()
        cpu_s = times.user + times.system
        if started is None or started_cpu_s is None:
            if done > 0:
                started, started_cpu_s, first = time.monotonic(), cpu_s, done
        elif done >= _records(part, events):
            share = 1 - first / _records(part, events)
            return (time.monotonic() - started) / share, (cpu_s - started_cpu_s) / share
        time.sleep(0.02)
    message = f"expected {part} to work off {events} events in {_GIVE_UP_S:g} s, got {done}"
    raise TimeoutError(message)


def _records(part: str, events: int) -> int:
    return events // _BATCH if part == "ingest" else events


def _raw(rng: random.Random, number: int) -> tuple[str, list[RawEvent]]:
    user_id, video_id = str(rng.randrange(10_000)), str(rng.randrange(7_583))
    at_ms = _START_MS + number * 20
    return user_id, [
        RawEvent(
            event_id=f"bench-{number}-{n}",
            video_id=video_id,
            interaction_type=kind,
            timestamp=at_ms,
            value=4.0 if kind is InteractionType.WATCH_TIME else None,
        )
        for n, kind in enumerate(_KINDS)
    ]


def _fill_raw(settings: Settings, events: int) -> None:
    topic = load_topics()["telemetry.raw"]
    producer = Producer(settings.kafka() | {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    rng = random.Random(0)
    for number in range(events // _BATCH):
        user_id, batch = _raw(rng, number)
        value = encode(TelemetryBatch(user_id=user_id, events=batch))
        producer.produce(settings.topic_prefix + topic.name, value, user_id.encode(), partition_for(user_id.encode(), topic.partitions))
    producer.flush(60)


def _fill_clean(settings: Settings, events: int) -> None:
    topic = load_topics()["telemetry.events"]
    producer = Producer(settings.kafka() | {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    rng = random.Random(0)
    for number in range(events // _BATCH):
        user_id, batch = _raw(rng, number)
        partition = partition_for(user_id.encode(), topic.partitions)
        for index, raw in enumerate(batch):
            event = Event(
                event_id=raw.event_id,
                user_id=user_id,
                video_id=raw.video_id,
                interaction_type=raw.interaction_type,
                timestamp_ms=raw.timestamp,
                received_ms=raw.timestamp,
                origin=Origin(partition, number, index),
                value=4.0 if raw.value is not None else None,
                creator_id=f"c{int(raw.video_id) % 6_510}",
                tags=(f"t{int(raw.video_id) % 111}",),
                duration_ms=20_000,
            )
            producer.produce(settings.topic_prefix + topic.name, encode(event), user_id.encode(), partition)
        if number % 5_000 == 0:
            producer.poll(0)
    producer.flush(60)
