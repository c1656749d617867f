"""Reading whole topics in steps, and publishing to them, on the real broker."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.catalog import CatalogItem
from schemas.settings import Settings
from serving.broker import TopicMissing
from serving.errors import ContractError, TransportError
from serving.publisher import Publisher
from serving.topic_reader import TopicReader, decoded, read_topic

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: str, admin: AdminClient) -> Settings:
    """Settings with two topics of the test's own."""
    prefix = f"reading-{uuid.uuid4().hex[:8]}."
    topics = [NewTopic(prefix + name, num_partitions=3, replication_factor=1) for name in ("one", "two")]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    return Settings(bootstrap_servers=kafka, topic_prefix=prefix)


def _publish(settings: Settings, topic: str, *values: bytes) -> None:
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for value in values:
            publisher.publish(topic, value.decode(), value)


def test_each_step_yields_what_came_since_the_one_before(settings: Settings) -> None:
    with TopicReader(settings, ["one", "two"]) as reader:
        assert list(reader.advance()) == []
        _publish(settings, "one", *(b"%d" % n for n in range(20)))
        _publish(settings, "two", b"x")
        first = [(topic, message.value()) for topic, message in reader.advance()]
        assert sorted(first) == sorted([*(("one", b"%d" % n) for n in range(20)), ("two", b"x")])
        assert list(reader.advance()) == []
        _publish(settings, "two", b"y")
        assert [(topic, message.value()) for topic, message in reader.advance()] == [("two", b"y")]


def test_a_partition_is_read_again_and_again_by_one_reader(settings: Settings) -> None:
    with TopicReader(settings, ["one"]) as reader:
        for n in range(3):
            _publish(settings, "one", b"same", b"same")
            assert len(list(reader.advance())) == 2
            there = [one for one in reader.ranges("one") if len(one)]
            assert [len(one) for one in there] == [2 * n + 2]
            assert [message.offset() for _, message in reader.read([replace(there[0], start=n, end=n + 2)])] == [n, n + 1]
        _publish(settings, "one", b"same")
        came: list[int | None] = []
        while not came:
            came = [message.offset() for _, message in reader.poll(1.0)]
        assert came == [6]


def test_a_tail_begins_at_its_making_and_the_newest_is_found_from_the_end(settings: Settings) -> None:
    _publish(settings, "one", *[b"old"] * 300)
    (place,) = {message.partition() for message in read_topic(settings, "one")}
    with TopicReader(settings, ["one"], start="latest") as reader:
        _publish(settings, "one", b"new")
        assert next(message.value() for _, message in reader.follow()) == b"new"
        (last, *_) = [one for one in reader.ranges("one", since_ms=0) if one.partition == place]
        assert (last.start, last.end >= 300) == (0, True)
        assert all(len(one) == 0 for one in reader.ranges("one", since_ms=int(time.time() * 1_000) + 60_000))


def test_the_newest_record_that_says_something_is_met_far_back(settings: Settings, admin: AdminClient) -> None:
    topic = NewTopic(settings.topic_prefix + "single", num_partitions=1, replication_factor=1)
    admin.create_topics([topic])[topic.topic].result(timeout=30)
    _publish(settings, "single", b"said", *[b"%d" % n for n in range(500)])
    with TopicReader(settings, ["single"]) as reader:
        assert reader.newest("single", lambda message: message.offset() if message.value() == b"said" else None) == 0
        assert reader.newest("single", lambda message: message.offset()) == 500
        assert reader.newest("single", lambda _: None) is None


def test_a_record_that_breaks_its_contract_is_named_by_its_place(settings: Settings) -> None:
    _publish(settings, "one", b"{")
    with (
        TopicReader(settings, ["one"]) as reader,
        pytest.raises(ContractError, match=r"expected a CatalogItem, got .*at reading-.*one/\d/0"),
    ):
        for _, message in reader.advance():
            decoded(CatalogItem, message)


def test_a_missing_topic_is_named(settings: Settings) -> None:
    with pytest.raises(TopicMissing, match=r"expected a topic of the cluster, got .*, at reading-.*\.three;"):
        TopicReader(settings, ["three"])


def test_a_record_that_is_too_large_is_told_when_the_block_ends_and_the_rest_goes_out(settings: Settings) -> None:
    with pytest.raises(TransportError, match=r"0 left, 1 refused: .*too large"):
        _publish(settings, "one", b"a", b"x" * 2_000_000)
    with TopicReader(settings, ["one"]) as reader:
        assert [message.value() for _, message in reader.advance()] == [b"a"]
