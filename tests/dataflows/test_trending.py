from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.bucketed import Pace
from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.trending import build
from operators.trending.trending import Trending
from schemas.codec import decode, encode
from schemas.features import TrendingList
from schemas.telemetry import Context, Event, InteractionType, Origin

EPOCH = timedelta(0)
"""Each batch closes an epoch."""


def events(n: int) -> list[Event]:
    return [
        Event(
            event_id=str(i),
            user_id=str(i % 7),
            video_id=f"v{i * i % 31}",
            interaction_type=list(InteractionType)[i % 17],
            timestamp_ms=1_651_000_000_000 + i * 90_000,
            received_ms=0,
            origin=Origin(0, i, 0),
            context=Context(region="NL" if i % 3 else "JP"),
            category=f"t{i % 4}",
        )
        for i in range(n)
    ]


def batches(some: list[Event], size: int = 20) -> list[Batch]:
    messages = [Message("events", 0, n, one.user_id.encode(), encode(one)) for n, one in enumerate(some)]
    return [Batch(messages[at : at + size]) for at in range(0, len(messages), size)]


def run(source: list[Any], *, store: Path | None = None, counts: Counter[str] | None = None) -> dict[str, TrendingList]:
    out: list[Outgoing] = []
    counted = Counter[str]() if counts is None else counts

    def count(what: str, number: int) -> None:
        counted[what] += number

    flow = build(
        TestingSource(source, batch_size=1),
        TestingSink(out),
        trending=Trending(half_life=timedelta(hours=1)),
        topic="lists",
        pace=Pace(least=timedelta(0)),
        count=count,
    )
    run_to_end(flow, epoch=EPOCH, store=store)
    return {(one.key or b"").decode(): decode(TrendingList, one.value or b"") for one in out}


def test_events_become_lists_and_what_is_no_event_is_counted() -> None:
    counts: Counter[str] = Counter()
    lists = run([Batch([Message("events", 0, 0, b"u", b"{")]), *batches(events(200))], counts=counts)
    expected = Trending(half_life=timedelta(hours=1))
    expected.on_batch(events(200))
    assert lists == {one.scope: one for one in expected.on_time(0)}
    assert set(lists) == {"global", "region:NL", "region:JP", "category:t0", "category:t1", "category:t2", "category:t3"}
    assert counts == {"records": 201, "undecodable": 1}


def test_a_crash_between_any_two_batches_changes_no_list(tmp_path: Path) -> None:
    whole = batches(events(200))
    uncrashed = run(list(whole))
    crashing: list[Any] = [step for batch in whole for step in (batch, TestingSource.ABORT())]
    lists: dict[str, TrendingList] = {}
    for _ in whole:
        lists |= run(crashing, store=tmp_path / "store")
    lists |= run(crashing, store=tmp_path / "store")
    assert lists == uncrashed
