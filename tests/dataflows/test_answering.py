"""The step of the feed, on messages made here and a store in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.answering import Answering, Topics
from dataflows.engine import run_to_end
from dataflows.feed import build, side_tables
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, Outgoing, RequestBatch, SideBatch
from dataflows.logs import Quiet
from dataflows.part import Part
from dataflows.reply_topics import ReplyTopics
from dataflows.segment_loader import SegmentLoader
from dataflows.store import PageAppend, StoreError
from operators.chain import feed_pipeline
from operators.cursor import cursor_after
from operators.feed import FeedEngine
from operators.index.builder import publish
from operators.index.exact import ExactSegment
from schemas import headers
from schemas.catalog import SegmentAnnounced
from schemas.codec import decode, encode, pack
from schemas.dlq import DeadLetter
from schemas.feed import FeedRequest, FeedResponse, Level, ReadState, ServedRecord
from schemas.partition import partition_for
from schemas.settings import Settings
from tests.operators.feed_world import NOW_MS, SECRET, Failing, Record, item, page, rich_world

PREFIX = "p."


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
            message = "gone"
            raise StoreError(message)
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

    def side(self, records: Sequence[Record]) -> None:
        """Apply side records."""
        offsets = self.answering.engine.tables.offsets
        for topic, key, value in records:
            message = Message(topic=PREFIX + topic, partition=0, offset=offsets.get(f"{topic}/0", 0), key=key.encode(), value=value)
            assert self.answering.on_batch([SideBatch([message])]) == []

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


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """The step with a catalogue of 200."""
    part = Part("feed", Settings(home=tmp_path, topic_prefix=PREFIX))
    metrics, shelf, done = FeedMetrics(part), Shelf(), list[int]()
    chain = feed_pipeline([metrics])
    metrics.names(chain.source_names, chain.reasons)
    answering = Answering(
        engine=FeedEngine(tables=side_tables(), secret=SECRET, seed=0, worker="w", pipeline=chain),
        store=shelf,
        loader=SegmentLoader(tmp_path / "segments", on_failure=lambda announced, error: metrics.event("segment_not_loaded")),
        topics=Topics(prefix=PREFIX, served="p.feed.served", letters="p.telemetry.dlq"),
        replies=ReplyTopics(default="p.feed.responses", listed=[], own=[], look=lambda: {"p.feed.responses": 8}),
        metrics=metrics,
        log=part.log,
        future_skew_ms=1_000,
        done=lambda topic, partition, offset: done.append(offset),
    )
    made = Step(answering, shelf, done, part)
    made.side([item(f"v{i}", creator_id=f"c{i}", title=f"video {i}") for i in range(200)])
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


def test_an_answer_and_its_lineage_leave_together(step: Step) -> None:
    reply, lineage = step.ask(request(request_id="r1"))
    served, response = decode(ServedRecord, lineage.value or b""), decode(FeedResponse, reply.value or b"")
    assert (reply.key, reply.partition) == (b"r1", partition_for(b"r1", 8))
    assert (lineage.topic, lineage.key) == ("p.feed.served", b"u")
    assert [one.video_id for one in served.items] == [one.video_id for one in response.items]
    assert served.latency_ms == response.latency_ms
    assert set(response.latency_ms) == {"wait", "state", "retrieve", "filter", "rank", "rerank", "total"}
    assert (served.sequence, served.request, served.now_ms) == (1, request(request_id="r1"), NOW_MS)


def test_requests_of_one_person_in_one_batch_see_each_others_pages(step: Step) -> None:
    out = step.ask(*(request() for _ in range(5)), request(user_id="other"))
    assert len(shown(out)) == 60
    assert len(set(shown(out)[:50])) == 50
    assert [len(step.shelf.pages[user]) for user in ("u", "other")] == [5, 1]


def test_a_page_that_another_worker_appended_in_between_is_seen(step: Step) -> None:
    first = shown(step.ask(request(request_id="r1", shadow=True)))
    other = page(first, request_id="elsewhere", at_ms=NOW_MS)

    def meddle() -> None:
        step.shelf.pages["u"] = [other]
        step.shelf.meddle = lambda: None

    step.shelf.meddle = meddle
    assert not set(shown(step.ask(request(request_id="r1"), request(request_id="r2")))) & set(first)
    assert len(step.shelf.pages["u"]) == 3
    assert count(step, "answered_again") == 2


def test_while_the_store_is_away_this_worker_repeats_nothing(step: Step) -> None:
    step.shelf.away = True
    away = shown(step.ask(request(request_id="r1"))) + shown(step.ask(request(request_id="r2"), request(request_id="r3")))
    step.shelf.away, step.shelf.away_at_append = False, True
    away += shown(step.ask(request(request_id="r4")))
    step.shelf.away_at_append = False
    out = step.ask(request(request_id="r5"))
    assert len(set(away + shown(out))) == 50
    assert responses(out)[0].degradation_level is Level.FULL
    assert count(step, "without_store") == 4


def test_shadow_requests_leave_nothing_behind(step: Step) -> None:
    assert len(shown(step.ask(request(shadow=True)))) == 10
    assert step.shelf.pages == {}


def test_a_request_is_done_when_all_its_output_is_delivered(step: Step) -> None:
    out = step.ask(request(), request(user_id="other"))
    step.answering.delivered(out[0].tag)
    assert step.done == []
    step.answering.delivered(out[2].tag)
    step.answering.delivered(out[3].tag)
    step.answering.delivered(out[1].tag)
    assert step.done == [1, 0]


def test_expired_requests_are_dropped_and_done(step: Step) -> None:
    ago = str(time.time_ns() // 1_000_000 - 3_000).encode()
    assert step.ask(request(), fields=[(headers.DEADLINE_MS, ago)]) == []
    assert step.done == [0]
    assert count(step, "expired") == 1
    soon = str(time.time_ns() // 1_000_000 + 60_000).encode()
    assert len(step.ask(request(), fields=[(headers.DEADLINE_MS, soon)])) == 2


@pytest.mark.parametrize(
    ("value", "code", "named"),
    [
        (b"{", "malformed", "p.feed.requests-2-0"),
        (None, "malformed", "p.feed.requests-2-0"),
        (b"\xff\xfe", "malformed", "p.feed.requests-2-0"),
        (b'{"request_id": "mine"}', "wrong_type", "mine"),
        (b'{"user_id": "u", "request_id": "mine", "limit": 0}', "wrong_type", "mine"),
        (b'{"user_id": "u", "request_id": "mine", "limit": 101}', "wrong_type", "mine"),
        (b'{"user_id": "u", "request_id": 7, "limit": "x"}', "wrong_type", "p.feed.requests-2-0"),
        (b'{"user_id": "u", "request_id": "mine", "ts_ms": ' + str(NOW_MS + 2_000).encode() + b"}", "future_dated", "mine"),
        (b" " * 70_000, "oversized", "p.feed.requests-2-0"),
        (b'{"user_id": "u", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "malformed", "p.feed.requests-2-0"),
    ],
)
def test_what_cannot_be_taken_is_answered_and_set_aside(step: Step, value: bytes | None, code: str, named: str) -> None:
    reply, set_aside = step.ask(value)
    response, letter = decode(FeedResponse, reply.value or b""), decode(DeadLetter, set_aside.value or b"")
    assert response.error is not None
    assert (response.error.code, response.request_id, response.items) == (code, named, [])
    assert response.error.do
    assert response.degradation_level is Level.ERROR
    assert (letter.reason, letter.raw, letter.offset, set_aside.topic) == (code, (value or b"")[:65_536], 0, "p.telemetry.dlq")
    assert letter.raw_size == (70_000 if code == "oversized" else None)
    assert set_aside.key == b"p.feed.requests/2/0/-1"


def test_an_answer_that_fails_does_not_stop_the_flow(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FeedEngine.answer

    def fails_for_one(self: FeedEngine, **asked: object) -> object:
        if asked["request_id"] == "bad":
            message = "a bug"
            raise ZeroDivisionError(message)
        return whole(self, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(FeedEngine, "answer", fails_for_one)
    out = step.ask(request(request_id="bad"), request(request_id="good"))
    errors = {one.request_id: None if one.error is None else one.error.code for one in responses(out)}
    assert errors == {"bad": "internal", "good": None}


def test_headers_come_back(step: Step) -> None:
    sent = [(headers.CORRELATION_ID, b"c-7"), (headers.ATTEMPT, b"2"), (headers.TRACEPARENT, b"00-ab-cd-01"), ("other", b"x")]
    reply, lineage = step.ask(request(), fields=sent)
    assert reply.headers[:3] == sent[:3]
    assert dict(reply.headers)[headers.CE_TYPE] == b"penstock.feed.response.v1"
    assert decode(ServedRecord, lineage.value or b"").attempt == 2
    plain, _ = step.ask(request(request_id="r9"))
    assert dict(plain.headers)[headers.CORRELATION_ID] == b"r9"
    spring, _ = step.ask(request(request_id="r10"), fields=[("kafka_correlationId", b"s")])
    assert dict(spring.headers)[headers.CORRELATION_ID] == dict(spring.headers)["kafka_correlationId"] == b"s"


def test_what_is_wrong_with_headers_is_answered_where_it_can_be_read(step: Step) -> None:
    by_id = partition_for(b"r1", 8)
    for name, value, code in (
        (headers.REPLY_PARTITION, b"99", "invalid_value"),
        (headers.REPLY_TOPIC, b"elsewhere", "invalid_value"),
        (headers.DEADLINE_MS, b"1700000000", "implausible_time"),
        (headers.DEADLINE_MS, b"9" * 5_000, "invalid_value"),
        (headers.CORRELATION_ID, b"c" * 5_000, "oversized"),
    ):
        reply, letter = step.ask(request(request_id="r1"), fields=[(name, value)])
        response = decode(FeedResponse, reply.value or b"")
        assert response.error is not None
        assert (response.error.code, response.error.path) == (code, f"header {name}")
        assert (reply.topic, reply.partition, letter.topic) == ("p.feed.responses", by_id, "p.telemetry.dlq")
    assert step.shelf.pages == {}


def test_a_listed_reply_topic_gets_its_answers_and_its_errors(step: Step) -> None:
    step.answering.replies.listed = ["orders.*"]
    step.answering.replies.look = lambda: {"p.feed.responses": 8, "orders.replies": 2}
    asked = [("kafka_replyTopic", b"orders.replies"), ("kafka_replyPartition", b"\0\0\0\1")]
    reply, lineage = step.ask(request(request_id="r1"), fields=asked)
    assert (reply.topic, reply.partition, lineage.topic) == ("orders.replies", 1, "p.feed.served")
    reply, letter = step.ask(b"{", fields=asked)
    assert (reply.topic, reply.partition, letter.topic) == ("orders.replies", 1, "p.telemetry.dlq")


def test_it_is_measured_whether_a_deadline_was_over_on_arrival_or_passed_while_waiting(step: Step) -> None:
    step.answering.wall_ms = lambda: NOW_MS + 20_000
    for ahead_ms in (-4_000, 5_000):
        assert step.ask(request(), fields=[(headers.DEADLINE_MS, str(NOW_MS + ahead_ms).encode())]) == []
    sums = {
        when: step.part.registry.get_sample_value("penstock_feed_expired_seconds_sum", {"when": when}) for when in ("on_arrival", "waiting")
    }
    assert sums == {"on_arrival": 24.0, "waiting": 15.0}


def test_an_absurd_attempt_counts_as_the_first_and_a_long_trace_is_not_sent_back(step: Step) -> None:
    for number in (b"9" * 25, b"-1", b"x"):
        _, lineage = step.ask(request(request_id="r1", shadow=True), fields=[(headers.ATTEMPT, number)])
        assert decode(ServedRecord, lineage.value or b"").attempt == 1
    reply, _ = step.ask(request(request_id="r2"), fields=[(headers.TRACEPARENT, b"t" * 9_000)])
    assert headers.TRACEPARENT not in dict(reply.headers)


def test_pages_that_wait_for_the_store_are_bounded(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflows.answering.SESSION_PAGES_KEPT", 12)
    step.shelf.away = True
    for n in range(17):
        step.ask(request(request_id=f"r{n}", limit=1))
    assert [len(pages) for pages in step.answering._unsaved.values()] == [12]


def test_an_answer_is_counted_once_however_often_rules_gave_way_or_the_page_was_lost(step: Step) -> None:
    step.side([("catalog.items", f"v{i}", None) for i in range(3, 200)])
    step.shelf.pages["u"] = [page(["v0", "v1", "v2"], request_id="r0", at_ms=NOW_MS - 1)]

    def meddle() -> None:
        if len(step.shelf.pages["u"]) < 3:
            step.shelf.pages["u"].append(page(["v1"], request_id=f"elsewhere {len(step.shelf.pages['u'])}", at_ms=NOW_MS))

    step.shelf.meddle = meddle
    (response,) = responses(step.ask(request(request_id="r1")))
    assert (len(response.items), response.exhausted) == (2, True)
    assert count(step, "answered_again") == 2
    (candidates,) = (one for one in step.part.registry.collect() if one.name == "penstock_feed_candidates")
    assert sum(one.value for one in candidates.samples if one.name.endswith("_total")) == 3


def test_the_last_try_that_is_lost_is_no_answer_again_and_its_page_is_kept_here(step: Step) -> None:
    def meddle() -> None:
        step.shelf.pages.setdefault("u", []).append(page([], request_id=f"elsewhere {len(step.shelf.pages['u'])}", at_ms=NOW_MS))

    step.shelf.pages["u"] = []
    step.shelf.meddle = meddle
    first = shown(step.ask(request(request_id="r1")))
    assert count(step, "answered_again") == 3
    step.shelf.meddle = lambda: None
    assert not set(shown(step.ask(request(request_id="r2")))) & set(first)


def test_the_time_in_the_store_is_that_of_every_try(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(1_000))
    monkeypatch.setattr("dataflows.answering.time.perf_counter", lambda: next(clock))
    (once,) = responses(step.ask(request(request_id="r1", user_id="other")))

    def meddle() -> None:
        step.shelf.pages["u"] = [page([], request_id="elsewhere", at_ms=NOW_MS)]
        step.shelf.meddle = lambda: None

    step.shelf.meddle = meddle
    (twice,) = responses(step.ask(request(request_id="r2")))
    assert count(step, "answered_again") == 1
    assert twice.latency_ms["state"] == 2 * once.latency_ms["state"]


def test_asking_with_a_cursor_again_gives_the_same_page_and_appends_nothing(step: Step) -> None:
    (first,) = responses(step.ask(request(request_id="r1")))
    second = shown(step.ask(request(request_id="r2", cursor=first.next_cursor)))
    for name in ("r3", "r2", "r4"):
        assert shown(step.ask(request(request_id=name, cursor=first.next_cursor))) == second
    assert len(step.shelf.pages["u"]) == 2
    other = cursor_after(SECRET, "v", request_id="r0", at_ms=NOW_MS)
    out = step.ask(*(request(request_id=name, user_id="v", cursor=other) for name in ("r5", "r6")))
    assert len(set(shown(out))) == 10


def test_a_stage_that_fails_at_every_second_request_is_logged_once_in_ten_seconds(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(step.answering, "log", SimpleNamespace(error=lambda what, **fields: told.append(fields["stage"])))
    chain = step.answering.engine.pipeline
    sound = chain.filters
    instants = iter((0.0, 1.0, 9.9, 10.0))
    monkeypatch.setattr(step.answering, "_quiet", Quiet(clock=instants.__next__))
    for _ in range(4):
        for filters in (sound, (*sound[:-1], Failing("seen"))):
            chain.filters = filters
            assert len(shown(step.ask(request()))) == 10
    assert told == ["seen", "seen"]


def test_segments_are_loaded_beside_the_flow_and_a_bad_one_leaves_the_old_one(step: Step, tmp_path: Path) -> None:
    ids = sorted(f"v{i}" for i in range(200))
    segment = ExactSegment(ids, np.ones((200, 64), dtype=np.int8))
    announced = publish(segment, tmp_path / "segments", built_ms=NOW_MS, vectors_offset=0)
    missing = msgspec.structs.replace(announced, path="nowhere", segment_id="missing")
    topic, key = "catalog.segments", "items"
    for wanted in (announced, missing):
        offsets = step.answering.engine.tables.offsets
        message = Message(topic=PREFIX + topic, partition=0, offset=offsets.get(f"{topic}/0", 0), key=key.encode(), value=encode(wanted))
        step.answering.on_batch([SideBatch([message])])
        _wait(step, wanted)
    served = decode(ServedRecord, step.ask(request())[1].value or b"")
    assert served.segment_id == announced.segment_id
    assert served.offsets["catalog.segments/0"] == 1
    assert count(step, "segment_not_loaded") == 1


def _wait(step: Step, wanted: SegmentAnnounced) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        step.answering.on_batch([SideBatch([])])
        installed = step.answering.engine.tables.segment
        if count(step, "segment_not_loaded") == 1 or (installed is not None and installed.announced == wanted):
            return
        time.sleep(0.01)
    pytest.fail("the segment was neither installed nor refused")


def test_the_flow_runs_on_plain_iterables(step: Step) -> None:
    side = SideBatch(
        [
            Message(topic=PREFIX + topic, partition=0, offset=200 + i, key=key.encode(), value=value)
            for i, (topic, key, value) in enumerate(rich_world(20))
        ]
    )
    replies: list[Outgoing] = []
    lineage: list[Outgoing] = []
    source = TestingSource([side, requests(request(request_id="a"), b"{"), requests(request(request_id="b"))])
    run_to_end(build(source, TestingSink(replies), TestingSink(lineage), answering=step.answering), epoch=timedelta(seconds=10), store=None)
    assert [one.request_id for one in responses(replies)] == ["p.feed.requests-2-1", "a", "b"]
    assert [one.topic for one in lineage] == ["p.telemetry.dlq", "p.feed.served", "p.feed.served"]
