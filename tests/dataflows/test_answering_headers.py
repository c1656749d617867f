"""Headers, deadlines and requests that cannot be taken, as the step of the feed answers them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas import headers
from schemas.codec import decode
from schemas.dlq import DeadLetter
from schemas.feed import FeedResponse, Level, ServedRecord
from schemas.partition import partition_for
from tests.dataflows.answering_step import Step, count, made_step, request
from tests.operators.feed_world import NOW_MS


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """The step with a catalogue of 200."""
    return made_step(tmp_path)


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
