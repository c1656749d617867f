from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows import journaled
from dataflows.bucketed import Pace
from dataflows.cooccurrence import build
from dataflows.engine import run_to_end
from dataflows.journal import Journal
from dataflows.kafka import Batch, Outgoing
from operators.cooccurrence.cowatch import CoWatch
from operators.cooccurrence.watched import WatchedBefore, Watching, watching
from schemas.codec import decode, encode
from schemas.features import Neighbours
from schemas.telemetry import Event, InteractionType, Origin, UserHistory

EPOCH = timedelta(0)
"""Each batch closes an epoch."""


def histories() -> list[UserHistory]:
    return [UserHistory(user_id=str(i), watched=[f"v{(i * k + k) % 41}" for k in range(i % 13)]) for i in range(30)]


def events(n: int) -> list[Event]:
    return [
        Event(
            event_id=str(i),
            user_id=str(i % 19),
            video_id=f"v{i * i % 53}",
            interaction_type=InteractionType.IMPRESSION if i % 4 else InteractionType.LIKE,
            timestamp_ms=1_651_000_000_000 + i,
            received_ms=0,
            origin=Origin(0, i, 0),
        )
        for i in range(n)
    ]


def batches(size: int = 20) -> list[Batch]:
    before = [Message("history", 0, n, one.user_id.encode(), encode(one)) for n, one in enumerate(histories())]
    then = [Message("events", 0, n, one.user_id.encode(), encode(one)) for n, one in enumerate(events(200))]
    messages = [*before, Message("history", 0, 99, b"0", None), *then, Message("events", 0, 999, b"u", b"{")]
    return [Batch(messages[at : at + size]) for at in range(0, len(messages), size)]


def run(source: list[Any], folder: Path, counts: Counter[str] | None = None) -> dict[str, Neighbours]:
    out: list[Outgoing] = []
    counted = Counter[str]() if counts is None else counts

    def count(what: str, number: int) -> None:
        counted[what] += number

    flow = build(
        TestingSource(source, batch_size=1),
        TestingSink(out),
        cowatch=CoWatch(change=0),
        journal=Journal(folder / "journal"),
        history="history",
        topic="neighbours",
        pace=Pace(least=timedelta(0)),
        count=count,
    )
    run_to_end(flow, epoch=EPOCH, store=folder / "store")
    return {(one.key or b"").decode(): decode(Neighbours, one.value or b"") for one in out}


def everything() -> list[Watching]:
    messages: list[Event | UserHistory] = [*histories(), *events(200)]
    return [one for message in messages if (one := watching(message)) is not None]


def expected() -> dict[str, Neighbours]:
    cowatch = CoWatch(change=0)
    cowatch.on_batch(everything())
    return {one.video_id: one for one in cowatch.on_time(0)}


def plain(lists: dict[str, Neighbours]) -> dict[str, tuple[list[str], list[float]]]:
    return {video_id: (one.video_ids, one.weights) for video_id, one in lists.items()}


def test_histories_and_events_become_neighbours_and_the_rest_is_counted(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    lists = run(batches(1_000), tmp_path, counts)
    assert plain(lists) == plain(expected())
    assert counts == {"records": 232, "undecodable": 1}


@pytest.mark.parametrize("rebase_bytes", [1 << 20, 600])
def test_a_crash_between_any_two_batches_changes_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rebase_bytes: int) -> None:
    monkeypatch.setattr(journaled, "REBASE_BYTES", rebase_bytes)
    whole = batches()
    crashing: list[Any] = [step for batch in whole for step in (batch, TestingSource.ABORT())]
    for _ in range(len(whole) + 1):
        run(crashing, tmp_path)
    after = CoWatch(change=0)
    last = run([*crashing, Batch([Message("history", 0, 500, b"zed", encode(UserHistory(user_id="zed", watched=["v1", "v2"])))])], tmp_path)
    after.on_batch(everything())
    after.on_time(0)
    after.on_batch([WatchedBefore("zed", ["v1", "v2"])])
    want = {one.video_id: one for one in after.on_time(0)}
    assert set(want) == {"v1", "v2"}
    assert {video_id: plain(last)[video_id] for video_id in want} == plain(want)
