"""The broker and the store that `penstock up` starts, as real processes."""

from __future__ import annotations

import pytest
import redis
from confluent_kafka import Consumer, Producer

pytestmark = pytest.mark.integration


def test_a_record_comes_back_from_the_broker(kafka: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "acks": "all", "enable.idempotence": True})
    producer.produce(topic, b"swipe", key=b"u1")
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    record = consumer.poll(10)
    consumer.close()
    assert record is not None
    assert (record.key(), record.value()) == (b"u1", b"swipe")


def test_a_value_comes_back_from_redis(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("k", b"v")
        assert client.get("k") == b"v"
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
