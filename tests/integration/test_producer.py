"""The telemetry producer over the real broker."""

from __future__ import annotations

import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.codec import decode
from schemas.partition import partition_for
from schemas.telemetry import InteractionType, RawEvent, TelemetryBatch
from serving.errors import ContractError, TransportError
from serving.producer import TelemetryProducer

pytestmark = pytest.mark.integration

PARTITIONS = 4


@pytest.fixture
def prefix(admin: AdminClient) -> str:
    """A prefix under which `telemetry.raw` exists."""
    prefix = f"producer-{uuid.uuid4().hex[:8]}."
    topic = NewTopic(prefix + "telemetry.raw", num_partitions=PARTITIONS, replication_factor=1)
    for made in admin.create_topics([topic]).values():
        made.result(timeout=30)
    return prefix


def _events(n: int, name: str = "e") -> list[RawEvent]:
    return [
        RawEvent(event_id=f"{name}-{i}", video_id=f"v{i}", interaction_type=InteractionType.LIKE, timestamp=1_700_000_000_000 + i)
        for i in range(n)
    ]


def _read(kafka: str, topic: str, partition: int) -> list[TelemetryBatch]:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "none", "enable.auto.commit": False})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[TelemetryBatch] = []
    while len(found) < end:
        found += [decode(TelemetryBatch, message.value() or b"") for message in consumer.consume(end, 1.0)]
    consumer.close()
    return found


def test_a_persons_events_stay_in_order_on_one_partition_in_batches(kafka: str, prefix: str) -> None:
    acknowledged: list[TelemetryBatch] = []
    with TelemetryProducer(
        {"bootstrap.servers": kafka}, batch_size=10, topic_prefix=prefix, on_acknowledged=acknowledged.append
    ) as producer:
        for event in _events(25):
            producer.send("42", [event])
    batches = _read(kafka, prefix + "telemetry.raw", partition_for(b"42", PARTITIONS))
    assert [event.event_id for batch in batches for event in batch.events] == [f"e-{i}" for i in range(25)]
    assert max(len(batch.events) for batch in batches) <= 10
    assert sum(len(batch.events) for batch in acknowledged) == producer.acknowledged == 25


def test_a_bad_event_is_refused_and_nothing_of_its_call_is_sent(kafka: str, prefix: str) -> None:
    bad = RawEvent(event_id="", video_id="v", interaction_type=InteractionType.LIKE, timestamp=1)
    with TelemetryProducer({"bootstrap.servers": kafka}, topic_prefix=prefix) as producer:
        with pytest.raises(ContractError, match="event_id"):
            producer.send("42", [*_events(1), bad])
    assert producer.acknowledged == 0


def test_a_batch_that_cannot_be_delivered_is_reported(kafka: str) -> None:
    producer = TelemetryProducer({"bootstrap.servers": kafka}, topic_prefix="nowhere.")
    producer.send("42", _events(1))
    with pytest.raises(TransportError, match=r"refused, the first: .*"):
        producer.flush(20)
