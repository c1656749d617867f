"""Feed workers over the real broker and the real Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.catalog import Moderation
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.feed import FeedRequest, FeedResponse, Level
from schemas.telemetry import Context
from serving.client import FeedClient
from tests.integration.feed.conftest import Cluster, Worker

pytestmark = pytest.mark.integration

Start = Callable[[str], Worker]


def test_an_unknown_person_is_answered_from_an_empty_catalogue_and_from_one_without_events(cluster: Cluster, start: Start) -> None:
    worker = start("feed-0")
    worker.wait_ready()
    with cluster.client() as client:
        empty = client.feed("ann")
        assert (empty.items, empty.degradation_level) == ([], Level.EMPTY_CATALOGUE)
        cluster.catalogue(200)
        first = _until(lambda: client.feed("ann"), lambda answer: len(answer.items) == 20)
    assert first.degradation_level is Level.FULL
    assert len({item.creator_id for item in first.items}) > 10
    assert worker.stop() == 0


def _until(ask: Callable[[], FeedResponse], right: Callable[[FeedResponse], bool]) -> FeedResponse:
    deadline = time.monotonic() + 10
    while True:
        answer = ask()
        if right(answer) or time.monotonic() > deadline:
            assert right(answer), answer
            return answer


def test_back_to_back_pages_never_repeat_also_when_the_worker_dies_between_them(cluster: Cluster, start: Start) -> None:
    cluster.catalogue(600)
    workers = {name: start(name) for name in ("feed-0", "feed-1")}
    for worker in workers.values():
        worker.wait_ready()
    shown: list[str] = []
    with cluster.client(timeout=20) as client:
        for page in range(12):
            if page == 4:
                workers["feed-0"].kill()
            if page == 8:
                start("feed-2").wait_ready()
                workers["feed-1"].kill()
            answer = client.feed("bob")
            assert (len(answer.items), answer.degradation_level) == (20, Level.FULL)
            shown += [item.video_id for item in answer.items]
    assert len(shown) == len(set(shown)) == 240


def test_a_session_of_a_thousand_swipes_repeats_nothing(cluster: Cluster, start: Start) -> None:
    cluster.catalogue(1_300)
    start("feed-0").wait_ready()
    shown: list[str] = []
    with cluster.client() as client:
        for _ in range(50):
            shown += [item.video_id for item in client.feed("cyd").items]
    assert len(shown) == len(set(shown)) == 1_000


def test_requests_that_cannot_be_taken_are_answered_and_set_aside(cluster: Cluster, start: Start) -> None:
    worker = start("feed-0")
    worker.wait_ready()
    far = (int(time.time()) + 86_400) * 1_000
    bad = {
        ReasonCode.MALFORMED: b"{nonsense",
        ReasonCode.WRONG_TYPE: b'{"user_id": 7, "request_id": "typed"}',
        ReasonCode.OVERSIZED: b'{"user_id": "' + b"x" * 990_000 + b'"}',
        ReasonCode.FUTURE_DATED: encode(FeedRequest(user_id="u", ts_ms=far)),
    }
    for value in bad.values():
        cluster.raw(value)
    cluster.raw(None)
    cluster.raw(b'{"user_id": "u"}', headers=[("deadline_ms", str(time.time_ns() // 1_000_000 - 60_000).encode())])
    absurd = [("attempt", b"9" * 5_000), ("traceparent", b"t" * 900_000)]
    cluster.raw(b'{"user_id": "u", "request_id": "good"}', headers=absurd)
    answers = [decode(FeedResponse, value) for value in _all(cluster, "feed.responses", 6)]
    errors = {one.error.code: one for one in answers if one.error is not None}
    assert (set(errors), len(answers)) == ({reason.value for reason in bad}, 6)
    assert errors["wrong_type"].request_id == "typed"
    assert [one.request_id for one in answers if one.error is None] == ["good"]
    letters = [decode(DeadLetter, value) for value in _all(cluster, "telemetry.dlq", 5)]
    assert {letter.reason: letter.raw for letter in letters if letter.raw} == {reason: raw[:65_536] for reason, raw in bad.items()}
    assert {letter.raw_size for letter in letters} == {None, len(bad[ReasonCode.OVERSIZED])}
    assert worker.metrics()['penstock_feed_requests_total{what="expired"}'] == 1
    assert worker.stop() == 0


def test_what_moderation_blocks_and_what_is_deleted_is_gone_within_a_second(cluster: Cluster, start: Start) -> None:
    cluster.catalogue(60)
    start("feed-0").wait_ready()
    with cluster.client() as client:
        assert "v7" in _shadow(client, 60)
        cluster.put("control.moderation", "video:v7", Moderation(kind="video", id="v7", blocked=True, at_ms=1))
        cluster.put("control.moderation", "creator:c9", Moderation(kind="creator", id="c9", blocked=True, at_ms=1))
        cluster.put("catalog.items", "v11", None)
        assert cluster.producer.flush(10) == 0
        time.sleep(1)
        assert _shadow(client, 60) == {f"v{i}" for i in range(60)} - {"v7", "v9", "v11"}


def test_while_redis_is_away_people_are_still_answered_and_nothing_repeats(cluster: Cluster, start: Start) -> None:
    cluster.settings = cluster.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    cluster.catalogue(300)
    start("feed-0").wait_ready()
    with cluster.client() as client:
        pages = [client.feed("dee") for _ in range(3)]
    assert {page.degradation_level for page in pages} == {Level.GLOBAL_POPULAR}
    shown = [item.video_id for page in pages for item in page.items]
    assert len(shown) == len(set(shown)) == 60


def _shadow(client: FeedClient, limit: int) -> set[str]:
    answer = client.ask(FeedRequest(user_id="eve", request_id=uuid.uuid4().hex, limit=limit, shadow=True, context=Context(surface="1")))
    return {item.video_id for item in answer.items}


def _all(cluster: Cluster, topic: str, n: int) -> list[bytes]:
    """Return the first `n` records of a topic."""
    consumer = Consumer({**cluster.settings.kafka(), "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        name = cluster.settings.topic_prefix + topic
        partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        consumer.assign([TopicPartition(name, one, 0) for one in partitions])
        values: list[bytes] = []
        deadline = time.monotonic() + 15
        while len(values) < n and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                values.append(message.value() or b"")
        return values
    finally:
        consumer.close()
