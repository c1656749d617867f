"""The step of the feed on a store in memory, and what tests say to it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Message

from dataflows.answering import Answering, Topics
from dataflows.artifacts import ArtifactLoader
from dataflows.feed import side_tables
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, Outgoing, RequestBatch, SideBatch
from dataflows.part import Part
from dataflows.reply_topics import ReplyTopics
from dataflows.store import PageAppend, StoreError
from operators.chain import feed_pipeline
from operators.feed import FeedEngine
from operators.tables.side import SideTables
from schemas.codec import decode, encode, pack
from schemas.feed import FeedRequest, FeedResponse, ReadState
from schemas.settings import Settings
from tests.operators.feed_world import NOW_MS, SECRET, Record, item

PREFIX = "p."
CATALOGUE = [item(f"v{i}", creator_id=f"c{i}", title=f"video {i}") for i in range(200)]


@dataclass
class Shelf:
    """A store in memory; `meddle` runs before each append, as another worker would."""

    pages: dict[str, list[bytes]] = field(default_factory=dict)
    away: bool = False
    away_at_append: bool = False
    meddle: Callable[[], None] = lambda: None

    def read(self, user_ids: Sequence[str], now_ms: Sequence[int]) -> list[ReadState]:
        return [ReadState(available=not self.away, pages=[] if self.away else list(self.pages.get(one, ()))) for one in user_ids]

    def append_pages(self, appends: Sequence[PageAppend]) -> list[bool]:
        self.meddle()
        if self.away_at_append:
            raise StoreError(expected="pages to be acknowledged", got="nothing", where="the user store")
        return [self._append(one) for one in appends]

    def _append(self, one: PageAppend) -> bool:
        known = self.pages.setdefault(one.user_id, [])
        if known[-1:] != list(one.expected[-1:]):
            return False
        known.append(pack(one.page))
        return True


@dataclass
class Step:
    """The step, and what it said was done."""

    answering: Answering
    shelf: Shelf
    done: list[int]
    part: Part
    ends: Counter[str] = field(default_factory=Counter)

    def side(self, records: Sequence[Record]) -> None:
        """Apply side records, each topic numbered from 0."""
        for topic, key, value in records:
            offset = self.ends[topic]
            self.ends[topic] += 1
            message = Message(topic=PREFIX + topic, partition=0, offset=offset, key=key.encode(), value=value)
            assert self.answering.on_batch([SideBatch([message])]) == []

    def settle(self, is_settled: Callable[[], bool]) -> None:
        """Turn until something that is loaded beside the flow has had its effect."""
        deadline = time.monotonic() + 20
        while not is_settled():
            assert time.monotonic() < deadline
            self.answering.on_batch([SideBatch([])])
            time.sleep(0.005)

    def ask(self, *values: bytes | None, fields: Sequence[tuple[str, bytes]] = ()) -> list[Outgoing]:
        """Answer a batch."""
        return self.answering.on_batch([requests(*values, fields=fields)])


def requests(*values: bytes | None, fields: Sequence[tuple[str, bytes]] = ()) -> Batch:
    """A batch of requests, offsets from 0."""
    return RequestBatch(
        [
            Message(
                topic=f"{PREFIX}feed.requests", partition=2, offset=i, key=b"u", value=value, headers=list(fields), timestamp=(2, NOW_MS)
            )
            for i, value in enumerate(values)
        ]
    )


def made_step(tmp_path: Path, tables: SideTables | None = None) -> Step:
    """The step with a catalogue of 200."""
    part = Part("feed", Settings(home=tmp_path, topic_prefix=PREFIX))
    metrics, shelf, done = FeedMetrics(part), Shelf(), list[int]()
    chain = feed_pipeline([metrics])
    metrics.names(chain.source_names, chain.reasons)
    answering = Answering(
        engine=FeedEngine(tables=tables or side_tables(), secret=SECRET, seed=0, worker="w", pipeline=chain),
        store=shelf,
        loader=ArtifactLoader(tmp_path, on_failure=lambda announced, error: metrics.event("artifact_not_loaded")),
        topics=Topics(prefix=PREFIX, served="p.feed.served", letters="p.telemetry.dlq"),
        replies=ReplyTopics(default="p.feed.responses", listed=[], own=[], look=lambda: {"p.feed.responses": 8}),
        metrics=metrics,
        log=part.log,
        future_skew_ms=1_000,
        done=lambda topic, partition, offset: done.append(offset),
    )
    made = Step(answering, shelf, done, part)
    made.side(CATALOGUE)
    return made


def request(**fields: object) -> bytes:
    """Bytes of a request."""
    return encode(FeedRequest(**({"user_id": "u", "limit": 10} | fields)))  # type: ignore[arg-type]


def responses(out: Sequence[Outgoing]) -> list[FeedResponse]:
    """The answers among the output."""
    return [decode(FeedResponse, one.value or b"") for one in out if one.topic == "p.feed.responses"]


def shown(out: Sequence[Outgoing]) -> list[str]:
    """All videos of all answers."""
    return [one.video_id for answer in responses(out) for one in answer.items]


def count(step: Step, what: str) -> float:
    """A counter of requests."""
    return step.part.registry.get_sample_value("penstock_feed_requests_total", {"what": what}) or 0.0
