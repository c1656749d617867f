"""CPU per record of the label join as one, two and four workers over the same topics."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
from confluent_kafka import Producer
from pydantic import SecretStr

from benchmarks.rows import Row
from benchmarks.system import System, metrics, prefixed, process
from dataflows.secrets_file import token_secret
from operators.ranking.features import FEATURE_SET, N_FEATURES
from operators.tokens import sign_page
from schemas.codec import encode
from schemas.feed import CandidateTable, Level, ReadState, ServedItem, ServedRecord
from schemas.partition import partition_for
from schemas.settings import Settings
from schemas.telemetry import Event, InteractionType, Origin
from schemas.topics import load_topics

_ITEMS = 10
_LOOKED_AT = 4
_KINDS = (InteractionType.IMPRESSION, InteractionType.WATCH_TIME)
_RECORDS_OF_A_PAGE = 1 + _LOOKED_AT * len(_KINDS)
_GIVE_UP_S = 300.0
_SECRET = "of the benchmark"  # noqa: S105


def rows(system: System, *, events: int) -> Iterator[Row]:
    """Fill the topics of pages and events, and let one, two and four workers join them from the start."""
    settings = prefixed(system.settings, "bench-labels.")
    pages = events // _RECORDS_OF_A_PAGE
    _fill(settings, pages)
    method = f"{pages} pages of {_ITEMS}, {_LOOKED_AT} of them looked at, waiting on the topics; 2,000 people; CPU of all workers together"
    alone: float | None = None
    for workers in (1, 2, 4):
        own = settings.model_copy(update={"home": system.home.root / f"bench-labels-{workers}"})
        cpu_s, wall_s = _work_off(own, workers, pages * _RECORDS_OF_A_PAGE)
        records = pages * _RECORDS_OF_A_PAGE
        alone = records / cpu_s if alone is None else alone
        yield Row(
            name=f"labels throughput per core, {workers} workers",
            value=records / cpu_s,
            unit="records/s per CPU second",
            method=method,
            against="1 worker",
            ratio=records / cpu_s / alone,
        )
        yield Row(name=f"labels throughput, {workers} workers", value=records / wall_s, unit="records/s", method=method + "; wall time")


def _work_off(settings: Settings, workers: int, records: int) -> tuple[float, float]:
    """Return the CPU and wall seconds that all workers together take for all records."""
    names = [f"labels-{worker}" for worker in range(workers)]
    first: dict[str, tuple[float, float, float]] = {}
    deadline = time.monotonic() + _GIVE_UP_S
    with ExitStack() as running:
        children = {
            name: running.enter_context(
                process(
                    "dataflows.labels",
                    settings,
                    name,
                    {"PENSTOCK_WORKER": str(worker), "PENSTOCK_WORKERS": str(workers), "PENSTOCK_TOKEN_SECRET": _SECRET},
                )
            )
            for worker, name in enumerate(names)
        }
        while time.monotonic() < deadline:
            done = {name: metrics(settings.home, name).get("penstock_processed_total", 0.0) for name in names}
            for name in names:
                if name not in first and done[name] > 0:
                    first[name] = (done[name], _cpu_s(children[name]), time.monotonic())
            if sum(done.values()) >= records:
                share = 1 - sum(count for count, _, _ in first.values()) / records
                cpu_s = sum(_cpu_s(child) for child in children.values()) - sum(cpu for _, cpu, _ in first.values())
                return cpu_s / share, (time.monotonic() - min(at for _, _, at in first.values())) / share
            time.sleep(0.02)
    message = f"expected labels to work off {records} records in {_GIVE_UP_S:g} s, got {done}"
    raise TimeoutError(message)


def _cpu_s(child: psutil.Process) -> float:
    times = child.cpu_times()
    return float(times.user + times.system)


def _fill(settings: Settings, pages: int) -> None:
    producer = Producer(settings.kafka() | {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    secret = token_secret(settings.model_copy(update={"token_secret": SecretStr(_SECRET)}))
    rng, now_ms = random.Random(0), int(time.time() * 1_000)
    offsets: dict[int, int] = {}

    def put(topic: str, user_id: str, value: bytes) -> None:
        partition = partition_for(user_id.encode(), load_topics()[topic].partitions)
        producer.produce(settings.topic_prefix + topic, value, user_id.encode(), partition)

    for number in range(pages):
        user_id, request_id = f"u{rng.randrange(2_000)}", f"r{number}"
        videos = [f"v{one}" for one in rng.sample(range(7_583), _ITEMS)]
        put("feed.served", user_id, encode(_served(user_id=user_id, request_id=request_id, videos=videos, number=number, now_ms=now_ms)))
        tokens = sign_page(
            secret,
            request_id=request_id,
            video_ids=videos,
            now_ms=now_ms,
            propensities=[0.9] * _ITEMS,
            policy="p",
            model_version="1",
        )
        for place in range(_LOOKED_AT):
            for kind in _KINDS:
                partition = partition_for(user_id.encode(), load_topics()["telemetry.raw"].partitions)
                offsets[partition] = offset = offsets.get(partition, -1) + 1
                one = _event(
                    user_id=user_id, video_id=videos[place], kind=kind, token=tokens[place], place=(partition, offset), now_ms=now_ms
                )
                put("telemetry.events", user_id, encode(one))
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush(60)


def _served(*, user_id: str, request_id: str, videos: list[str], number: int, now_ms: int) -> ServedRecord:
    return ServedRecord(
        request_id=request_id,
        user_id=user_id,
        worker="bench",
        sequence=number,
        now_ms=now_ms,
        request=b'{"user_id":"' + user_id.encode() + b'"}',
        read=ReadState(),
        offsets={},
        segment_id=None,
        model_versions={"online": "1"},
        seed=1,
        level=Level.FULL,
        sources=[],
        reasons=[],
        candidates=CandidateTable(video_ids="", sources=b"", dropped=b"", scores=b""),
        ranked=videos,
        items=[ServedItem(video_id=one, rank=i, source="s", score=0.0, propensity=0.9) for i, one in enumerate(videos)],
        feature_set=FEATURE_SET,
        features=bytes(4 * N_FEATURES * _ITEMS),
        response_sha256="",
    )


def _event(*, user_id: str, video_id: str, kind: InteractionType, token: str, place: tuple[int, int], now_ms: int) -> Event:
    return Event(
        event_id=f"{place[0]}-{place[1]}",
        user_id=user_id,
        video_id=video_id,
        interaction_type=kind,
        timestamp_ms=now_ms + 1_000,
        received_ms=now_ms + 1_000,
        origin=Origin(*place, 0),
        value=4.0 if kind is InteractionType.WATCH_TIME else None,
        tracking_token=token,
        duration_ms=20_000,
    )
