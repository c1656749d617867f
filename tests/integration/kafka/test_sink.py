from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Producer
from msgspec.structs import replace

from dataflows.engine import run_to_end
from dataflows.kafka import KafkaSink, KafkaSource, Outgoing, Sizes, TransportError, partition_for, send
from schemas.codec import decode
from schemas.dlq import DeadLetter
from schemas.topics import load_topics

if TYPE_CHECKING:
    from tests.integration.kafka.conftest import Broker

pytestmark = pytest.mark.integration

Connection = dict[str, str | int | float | bool]


def write(connection: Connection, items: list[Outgoing], sink: KafkaSink | None = None) -> None:
    part = (sink or KafkaSink(connection)).build_part("out", "kafka", None)
    part.write_batch([items])
    part.snapshot()
    part.close()


def test_every_field_arrives_and_none_is_a_tombstone(connection: Connection, topic: str, broker: Broker) -> None:
    headers = [("ce_id", b"1"), ("ce_id", b"2"), ("raw", b"\xff\x00")]
    write(
        connection,
        [
            Outgoing(topic, b"k", b"v", headers=headers, timestamp_ms=1_600_000_000_123),
            Outgoing(topic, b"k", None),
            Outgoing(topic, None, b""),
        ],
    )
    full, tombstone, empty = broker.read_all(topic)
    assert (full.key(), full.value(), full.headers(), full.timestamp()[1]) == (b"k", b"v", headers, 1_600_000_000_123)
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"k", None, None)
    assert (empty.key(), empty.value()) == (None, b"")
    assert abs(tombstone.timestamp()[1] - time.time() * 1000) < 60_000


def test_an_explicit_partition_beats_the_key(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=4)
    write(connection, [Outgoing(topic, b"same", b"%d" % n, n % 4) for n in range(8)])
    assert sorted((m.partition(), m.value()) for m in broker.read_all(topic)) == sorted((n % 4, b"%d" % n) for n in range(8))


def test_keys_go_where_librdkafka_sends_them(connection: Connection, broker: Broker) -> None:
    ours, theirs = broker.make_topic(partitions=7), broker.make_topic(partitions=7)
    keys = [b"user-%d" % n for n in range(200)]
    write(connection, [Outgoing(ours, key, b"") for key in keys])
    producer = Producer({**connection, "partitioner": "consistent"})
    for key in keys:
        producer.produce(theirs, b"", key)
    assert producer.flush(20) == 0
    places = {m.key(): m.partition() for m in broker.read_all(ours)}
    assert places == {m.key(): m.partition() for m in broker.read_all(theirs)}
    assert places == {key: partition_for(key, 7) for key in keys}


def test_one_sink_writes_several_topics_each_in_order(connection: Connection, broker: Broker) -> None:
    clean, dead = broker.make_topic(), broker.make_topic()
    write(connection, [Outgoing(dead if n % 3 == 0 else clean, b"k", b"%d" % n) for n in range(3_000)])
    assert [int(m.value() or b"") for m in broker.read_all(clean)] == [n for n in range(3_000) if n % 3]
    assert [int(m.value() or b"") for m in broker.read_all(dead)] == list(range(0, 3_000, 3))


@pytest.mark.parametrize("config", [{}, {"max.message.bytes": "1000"}])
def test_a_message_too_large_is_an_error(connection: Connection, broker: Broker, config: dict[str, str]) -> None:
    topic = broker.make_topic(config=config)
    with pytest.raises(TransportError, match=rf"expected delivery of 1500000 bytes under key b'big', got MSG_SIZE_TOO_LARGE.*{topic}\[0\]"):
        write(connection if not config else {**connection, "message.max.bytes": 2_000_000}, [Outgoing(topic, b"big", b"x" * 1_500_000)])


def test_a_partition_or_topic_that_does_not_exist_is_an_error(connection: Connection, topic: str) -> None:
    with pytest.raises(TransportError, match=r"UNKNOWN_PARTITION"):
        write(connection, [Outgoing(topic, b"k", b"v", partition=9)])
    with pytest.raises(TransportError, match=r"expected topic no\.such\.topic, got .*UNKNOWN_TOPIC"):
        write(connection, [Outgoing("no.such.topic", b"k", b"v")], KafkaSink(connection, timeout=timedelta(seconds=1)))


def test_an_error_comes_up_at_a_later_batch_too(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(config={"max.message.bytes": "1000"})
    part = KafkaSink(connection, linger=timedelta(0)).build_part("out", "kafka", None)
    part.write_batch([[Outgoing(topic, b"k", b"x" * 5_000)]])
    deadline = time.monotonic() + 10
    with pytest.raises(TransportError, match="MSG_SIZE_TOO_LARGE"):
        while time.monotonic() < deadline:
            part.write_batch([[Outgoing(topic, b"k", b"small")]])
            time.sleep(0.01)


def test_a_full_queue_slows_the_flow_and_loses_nothing(connection: Connection, topic: str, broker: Broker) -> None:
    write({**connection, "queue.buffering.max.messages": 100}, [Outgoing(topic, b"k", b"%d" % n) for n in range(5_000)])
    assert [int(m.value() or b"") for m in broker.read_all(topic)] == list(range(5_000))


def test_tags_come_back_when_the_broker_has_the_message(connection: Connection, topic: str, broker: Broker) -> None:
    delivered: list[object] = []
    sink = KafkaSink(connection, linger=timedelta(0), acks="1", idempotent=False, on_delivered=delivered.append)
    sink.poll()
    part = sink.build_part("out", "kafka", None)
    part.write_batch([[Outgoing(topic, b"k", b"a", tag=("in", 0, 1)), Outgoing(topic, b"k", b"b"), Outgoing(topic, b"k", b"c", tag=3)]])
    deadline = time.monotonic() + 10
    while len(delivered) < 2 and time.monotonic() < deadline:
        sink.poll()
        time.sleep(0.005)
    assert delivered == [("in", 0, 1), 3]
    part.close()
    sink.poll()
    assert len(broker.read_all(topic)) == 3


def test_a_snapshot_counts_what_is_acknowledged_over_restarts(connection: Connection, topic: str, broker: Broker) -> None:
    part = KafkaSink(connection, linger=timedelta(minutes=1)).build_part("out", "kafka", 40)
    part.write_batch([[Outgoing(topic, b"k", b"v")], [Outgoing(topic, b"k", b"v")] * 2])
    assert part.snapshot() == 43
    assert len(broker.read_all(topic)) == 3
    part.close()


def test_a_flow_copies_a_topic_and_ends_by_itself(connection: Connection, broker: Broker) -> None:
    first, second = broker.make_topic(partitions=2), broker.make_topic(partitions=2)
    write(connection, [Outgoing(first, b"%d" % n, b"%d" % n) for n in range(1_000)])
    flow = Dataflow("copy")
    batches = op.input("in", flow, KafkaSource(connection, [first], group=None, end="reached"))
    copies = op.flat_map("copy", batches, lambda batch: [Outgoing(second, m.key(), m.value(), m.partition() or 0) for m in batch])
    send("out", copies, KafkaSink(connection))
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    for partition in (0, 1):
        copied, original = ([m.key() for m in broker.read_all(topic) if m.partition() == partition] for topic in (second, first))
        assert copied == original


def test_a_plain_sink_takes_the_messages_as_they_come() -> None:
    items = [Outgoing("t", b"k", b"%d" % n) for n in range(3)]
    taken: list[Outgoing] = []
    flow = Dataflow("plain")
    send("out", op.input("in", flow, TestingSource(items)), TestingSink(taken))
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    assert taken == items


def test_a_record_that_the_topic_refuses_becomes_a_letter_and_its_tag_comes_back(connection: Connection, broker: Broker) -> None:
    topic, letters = broker.make_topic(), broker.make_topic()
    counted: list[str] = []
    delivered: list[str] = []
    specs = load_topics()
    named = [replace(specs["telemetry.events"], name=topic), replace(specs["telemetry.dlq"], name=letters)]
    sizes = Sizes(named, prefix="", count=counted.append)
    sizes.letters = letters
    sink = KafkaSink(connection, sizes=sizes, on_delivered=delivered.append)
    write(connection, [Outgoing(topic, b"k", b"x" * 2_000_000, tag="large"), Outgoing(topic, b"k", b"small", tag="small")], sink)
    (small,), (letter,) = broker.read_all(topic), broker.read_all(letters)
    assert (small.value(), counted, sorted(delivered)) == (b"small", [topic], ["large", "small"])
    assert decode(DeadLetter, letter.value() or b"").raw_size == 2_000_000
    assert dict(letter.headers() or [])["dlq_reason"] == b"oversized"
