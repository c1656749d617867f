"""The step of the feed, on messages made here and a store in memory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.engine import run_to_end
from dataflows.feed import build
from dataflows.kafka import Outgoing, SideBatch
from dataflows.logs import Quiet
from operators.feed import FeedEngine
from operators.index.builder import publish
from operators.index.exact import ExactSegment
from schemas.codec import decode, encode
from schemas.feed import FeedResponse, ServedRecord
from schemas.partition import partition_for
from tests.dataflows.answering_step import PREFIX, Step, count, made_step, request, requests, responses, shown
from tests.operators.feed_world import NOW_MS, FailingFilter, rich_world


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """The step with a catalogue of 200."""
    return made_step(tmp_path)


def test_an_answer_and_its_lineage_leave_together(step: Step) -> None:
    reply, lineage = step.ask(request(request_id="r1"))
    served, response = decode(ServedRecord, lineage.value or b""), decode(FeedResponse, reply.value or b"")
    assert (reply.key, reply.partition) == (b"r1", partition_for(b"r1", 8))
    assert (lineage.topic, lineage.key) == ("p.feed.served", b"u")
    assert [one.video_id for one in served.items] == [one.video_id for one in response.items]
    assert served.latency_ms == response.latency_ms
    assert set(response.latency_ms) == {"wait", "state", "retrieve", "filter", "rank", "rerank", "total"}
    assert (served.sequence, served.request, served.now_ms) == (1, request(request_id="r1"), NOW_MS)


def test_each_stage_of_an_answer_is_timed_and_each_that_failed_is_counted(step: Step) -> None:
    chain = step.answering.engine.pipeline
    chain.filters = (*chain.filters[:-1], FailingFilter("seen"))
    step.ask(request(), request(user_id="other"))

    def told(metric: str, stage: str) -> float | None:
        return step.part.registry.get_sample_value(f"penstock_feed_{metric}", {"stage": stage})

    for stage in ("popular", "catalogue", "age", "seen", "features", "rank", "rerank"):
        assert told("stage_run_seconds_count", stage) == 2, stage
    assert [told("stage_failures_total", stage) for stage in ("seen", "age")] == [2, None]
    assert told("stage_run_seconds_count", "session") is None


def test_a_request_is_done_when_all_its_output_is_delivered(step: Step) -> None:
    out = step.ask(request(), request(user_id="other"))
    step.answering.delivered(out[0].tag)
    assert step.done == []
    step.answering.delivered(out[2].tag)
    step.answering.delivered(out[3].tag)
    step.answering.delivered(out[1].tag)
    assert step.done == [1, 0]


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


def test_a_stage_that_fails_at_every_second_request_is_logged_once_in_ten_seconds(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(step.answering, "log", SimpleNamespace(error=lambda what, **fields: told.append(fields["stage"])))
    chain = step.answering.engine.pipeline
    sound = chain.filters
    instants = iter((0.0, 1.0, 9.9, 10.0))
    monkeypatch.setattr(step.answering, "_quiet", Quiet(clock=instants.__next__))
    for _ in range(4):
        for filters in (sound, (*sound[:-1], FailingFilter("seen"))):
            chain.filters = filters
            assert len(shown(step.ask(request()))) == 10
    assert told == ["seen", "seen"]


def test_segments_are_loaded_beside_the_flow_and_a_bad_one_leaves_the_old_one(step: Step, tmp_path: Path) -> None:
    ids = sorted(f"v{i}" for i in range(200))
    segment = ExactSegment(ids, np.ones((200, 64), dtype=np.int8))
    announced = publish(segment, tmp_path / "segments", built_ms=NOW_MS, vectors_offset=0)
    missing = msgspec.structs.replace(announced, path="nowhere", segment_id="missing")
    tables = step.answering.engine.tables
    step.side([("catalog.segments", "items", encode(announced))])
    step.settle(lambda: tables.segment is not None)
    step.side([("catalog.segments", "items", encode(missing))])
    step.settle(lambda: count(step, "artifact_not_loaded") == 1)
    served = decode(ServedRecord, step.ask(request())[1].value or b"")
    assert served.segment_id == announced.segment_id
    assert served.offsets["catalog.segments/0"] == 1
    step.side([("catalog.segments", "items", None)])
    taken_back = decode(ServedRecord, step.ask(request())[1].value or b"")
    assert (taken_back.segment_id, taken_back.offsets["catalog.segments/0"], taken_back.model_versions["index"]) == (None, 3, "none")


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
