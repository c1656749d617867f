"""Requests as other people's clients send them, over the real broker: their headers, their reply topics, their mistakes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from dataflows.reply_topics import LOOK_AGAIN_S
from schemas import headers
from schemas.codec import decode, encode
from schemas.feed import FeedRequest, FeedResponse
from schemas.partition import partition_for
from schemas.settings import Settings
from serving.client import FeedClient
from tests.integration.feed.conftest import Cluster, Worker
from tests.integration.running import eventually

pytestmark = pytest.mark.integration

Start = Callable[[str], Worker]
Headers = list[tuple[str, bytes]]

_ODD_NAME = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Name(str):
    def encode(self, *_):
        return bytes([255, 254])

async def send():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:
        headers = [("correlation_id", b"odd"), (Name("x"), b"1")]
        await producer.send_and_wait(sys.argv[2], b'{"user_id": "u", "request_id": "odd"}', headers=headers)

asyncio.run(send())
"""


class Reader:
    """Reads one partition from where it ends now."""

    def __init__(self, cluster: Cluster, topic: str, partition: int) -> None:
        self._consumer = Consumer({**cluster.settings.kafka(), "group.id": uuid.uuid4().hex, "fetch.wait.max.ms": 20})
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        self._consumer.assign([TopicPartition(topic, partition, end)])

    def answer(self, correlation_id: bytes, *, seconds: float = 15.0) -> tuple[FeedResponse, dict[str, bytes]]:
        """Return the answer with a correlation id, and its headers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            found = {name: value or b"" for name, value in headers.pairs(message) or ()}
            if found.get("correlation_id") == correlation_id:
                return decode(FeedResponse, message.value() or b""), found
        pytest.fail("no answer came")

    def close(self) -> None:
        """Close it."""
        self._consumer.close()


@pytest.fixture
def read(cluster: Cluster) -> Iterator[Callable[[str, int], Reader]]:
    """Read a partition from its end."""
    readers: list[Reader] = []

    def one(topic: str, partition: int) -> Reader:
        readers.append(Reader(cluster, topic, partition))
        return readers[-1]

    yield one
    for reader in readers:
        reader.close()


@pytest.fixture
def own_topics(cluster: Cluster, admin: AdminClient) -> str:
    """The prefix of topics that clients may be answered on; one takes nothing that is larger than a few bytes."""
    prefix = f"shop-{uuid.uuid4().hex[:8]}."
    topics = [
        NewTopic(prefix + "replies", num_partitions=3, replication_factor=1),
        NewTopic(prefix + "tiny", num_partitions=1, replication_factor=1, config={"max.message.bytes": "100"}),
    ]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    cluster.settings = cluster.settings.model_copy(update={"reply_topics": prefix + "*"})
    return prefix


def _request(request_id: str, **fields: int) -> bytes:
    return encode(FeedRequest(user_id="u", request_id=request_id, limit=5, shadow=True, **fields))  # type: ignore[arg-type]


def _spring(correlation_id: bytes, topic: str, partition: int) -> Headers:
    """The headers of ReplyingKafkaTemplate."""
    return [
        ("kafka_replyTopic", topic.encode()),
        ("kafka_correlationId", correlation_id),
        ("kafka_replyPartition", struct.pack(">i", partition)),
    ]


def test_spring_is_answered_on_its_own_topic_and_partition_with_its_own_bytes(
    cluster: Cluster, start: Start, read: Callable[[str, int], Reader], own_topics: str
) -> None:
    cluster.catalogue(50)
    start("feed-0").wait_ready()
    mine = read(own_topics + "replies", 2)
    for correlation_id in (uuid.uuid4().bytes, b"\x00\n\xff\xfe" * 4):
        cluster.raw(_request("r"), headers=_spring(correlation_id, own_topics + "replies", 2))
        answer, sent = mine.answer(correlation_id)
        assert (answer.error, len(answer.items), sent["ce_id"]) == (None, 5, b"r")
        assert sent["kafka_correlationId"] == sent["correlation_id"] == correlation_id
        cluster.raw(b'{"user_id": "u", "limit": 500}', headers=_spring(correlation_id, own_topics + "replies", 2))
        answer, sent = mine.answer(correlation_id)
        assert answer.error is not None
        assert (answer.error.path, answer.error.got, answer.error.do) == ("$.limit", "500", "ask for 1 to 100")
        assert answer.request_id.startswith(f"{cluster.settings.topic_prefix}feed.requests-")
        assert sent["ce_id"] == answer.request_id.encode()


def test_a_topic_or_a_partition_that_cannot_be_answered_on_is_an_error_on_the_common_one(
    cluster: Cluster, start: Start, read: Callable[[str, int], Reader], own_topics: str
) -> None:
    start("feed-0").wait_ready()
    common = f"{cluster.settings.topic_prefix}feed.responses"
    readers = [read(common, partition) for partition in range(8)]
    wishes: list[tuple[str, bytes]] = [
        ("reply_topic", b"not.listed"),
        ("reply_topic", own_topics.encode() + b"missing"),
        ("reply_topic", f"{cluster.settings.topic_prefix}catalog.items".encode()),
        ("reply_partition", b"99"),
        ("kafka_replyPartition", struct.pack(">i", -1)),
    ]
    for name, value in wishes:
        request_id = uuid.uuid4().hex
        cluster.raw(_request(request_id), headers=[("correlation_id", b"c"), (name, value)])
        answer, _ = readers[partition_for(request_id.encode(), 8)].answer(b"c")
        assert answer.error is not None
        assert (answer.error.code, answer.error.path) == ("invalid_value", f"header {name}")


def test_an_answer_that_its_topic_refuses_or_that_has_no_topic_any_more_is_given_up_and_others_are_answered(
    cluster: Cluster, start: Start, own_topics: str, admin: AdminClient
) -> None:
    cluster.catalogue(50)
    worker = start("feed-0")
    worker.wait_ready()
    with cluster.client() as client:
        cluster.raw(_request("tiny"), headers=[("reply_topic", own_topics.encode() + b"tiny")])
        cluster.raw(_request("first"), headers=[("reply_topic", own_topics.encode() + b"replies")])
        assert len(client.feed("u", limit=5).items) == 5
        admin.delete_topics([own_topics + "replies"])[own_topics + "replies"].result(timeout=30)
        cluster.raw(_request("gone"), headers=[("reply_topic", own_topics.encode() + b"replies")])
        assert len(client.feed("u", limit=5).items) == 5
        eventually(lambda: worker.metrics()['penstock_feed_requests_total{what="reply_given_up"}'] == 2)
    assert worker.stop() == 0


def test_new_partitions_of_the_answers_are_used_without_a_restart(cluster: Cluster, start: Start, admin: AdminClient) -> None:
    cluster.catalogue(50)
    worker = start("feed-0")
    worker.wait_ready()
    with cluster.client() as client:
        assert len(client.feed("u", limit=5).items) == 5
    responses = f"{cluster.settings.topic_prefix}feed.responses"
    admin.create_partitions([NewPartitions(responses, 12)])[responses].result(timeout=30)
    time.sleep(LOOK_AGAIN_S)
    with FeedClient(cluster.settings.kafka(), topic_prefix=cluster.settings.topic_prefix, timeout=15, reply_partition=11) as client:
        assert len(client.feed("u", limit=5).items) == 5
    assert worker.stop() == 0


def test_a_header_name_that_is_no_utf_8_is_refused_and_the_worker_goes_on(
    cluster: Cluster, start: Start, read: Callable[[str, int], Reader]
) -> None:
    worker = start("feed-0")
    worker.wait_ready()
    common = read(f"{cluster.settings.topic_prefix}feed.responses", partition_for(b"odd", 8))
    subprocess.run(
        [sys.executable, "-c", _ODD_NAME, cluster.settings.bootstrap_servers, f"{cluster.settings.topic_prefix}feed.requests"],
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        check=True,
        timeout=60,
    )
    answer, _ = common.answer(b"odd")
    assert answer.error is not None
    assert (answer.error.code, answer.error.path) == ("malformed", "headers")
    assert worker.stop() == 0


def test_a_worker_that_waits_for_its_topics_ends_when_it_is_told_to(tmp_path: Path) -> None:
    worker = Worker(Settings(home=tmp_path, bootstrap_servers="127.0.0.1:1"), "feed-0")
    deadline = time.monotonic() + 30
    while not worker.port_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    worker.process.terminate()
    assert worker.process.wait(timeout=5) == 0
