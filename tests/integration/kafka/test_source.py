from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from dataflows.kafka import Batch, KafkaSource, Offsets, Shutdown, TransportError
from dataflows.kafka.reader import KafkaPart

if TYPE_CHECKING:
    from tests.integration.kafka.conftest import Broker

pytestmark = pytest.mark.integration

Connection = dict[str, str | int | float | bool]


def numbers(first: int, last: int) -> list[tuple[bytes, bytes]]:
    return [(b"k", b"%d" % n) for n in range(first, last)]


def drain(part: KafkaPart) -> list[Batch]:
    batches: list[Batch] = []
    while True:
        try:
            batches += part.next_batch()
        except StopIteration:
            return batches


def read(
    connection: Connection, topics: list[str], resume: Offsets | None = None, **options: Any
) -> tuple[list[int], Offsets, KafkaSource]:
    """Read to the end; return the numbers read, the snapshot then, and the source."""
    source = KafkaSource(connection, topics, group=options.pop("group", None), end="reached", **options)
    part = source.build_part("in", "kafka", resume)
    batches = drain(part)
    snapshot = part.snapshot()
    part.close()
    return [int(value or b"-1") for batch in batches for value in batch.values()], snapshot, source


def test_an_empty_topic_ends_at_once_and_its_position_is_a_number(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=3)
    assert read(connection, [topic])[:2] == ([], {(topic, 0): 0, (topic, 1): 0, (topic, 2): 0})


def test_an_empty_topic_that_fills_later_is_read(connection: Connection, topic: str, broker: Broker) -> None:
    part = KafkaSource(connection, [topic], group=None).build_part("in", "kafka", None)
    assert part.next_batch() == []
    broker.write(topic, numbers(0, 3))
    deadline = time.monotonic() + 10
    values: list[bytes | None] = []
    while len(values) < 3 and time.monotonic() < deadline:
        values += [value for batch in part.next_batch() for value in batch.values()]
    assert values == [b"0", b"1", b"2"]
    part.close()


def test_one_consumer_reads_all_partitions_of_several_topics_in_order(connection: Connection, broker: Broker) -> None:
    first, second = broker.make_topic(partitions=3), broker.make_topic(partitions=1)
    broker.write(first, numbers(0, 900), partitions=(0, 1, 2))
    broker.write(second, numbers(900, 1000))
    seen, snapshot, source = read(connection, [first, second], batch_size=64)
    assert sorted(seen) == list(range(1000))
    for lane in (range(0, 900, 3), range(1, 900, 3), range(2, 900, 3), range(900, 1000)):
        assert [n for n in seen if n in lane] == list(lane)
    assert snapshot == {(first, 0): 300, (first, 1): 300, (first, 2): 300, (second, 0): 100}
    assert source.read == 1000


def test_a_batch_is_never_larger_than_asked(connection: Connection, topic: str, broker: Broker) -> None:
    broker.write(topic, numbers(0, 500))
    part = KafkaSource(connection, [topic], group=None, end="reached", batch_size=33).build_part("in", "kafka", None)
    sizes = [len(batch) for batch in drain(part)]
    assert max(sizes) == 33
    assert sum(sizes) == 500
    part.close()


def test_a_source_owns_only_the_partitions_it_was_given(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=3)
    broker.write(topic, numbers(0, 90), partitions=(0, 1, 2))
    seen, snapshot, _ = read(connection, [topic], partitions={topic: [2]})
    assert seen == list(range(2, 90, 3))
    assert snapshot == {(topic, 2): 30}
    with pytest.raises(TransportError, match="below 3"):
        read(connection, [topic], partitions={topic: [3]})


def test_a_resumed_source_goes_on_after_the_last_message(connection: Connection, topic: str, broker: Broker) -> None:
    broker.write(topic, numbers(0, 10))
    _, snapshot, _ = read(connection, [topic])
    broker.write(topic, numbers(10, 15))
    assert read(connection, [topic], snapshot)[0] == [10, 11, 12, 13, 14]
    assert read(connection, [topic], snapshot, start="latest")[0] == [10, 11, 12, 13, 14]


def test_latest_is_a_number_that_survives_a_restart(connection: Connection, topic: str, broker: Broker) -> None:
    broker.write(topic, numbers(0, 10))
    seen, snapshot, _ = read(connection, [topic], start="latest")
    assert (seen, snapshot) == ([], {(topic, 0): 10})
    broker.write(topic, numbers(10, 12))
    assert read(connection, [topic], snapshot, start="latest")[0] == [10, 11]


def test_explicit_starts_are_taken_and_others_begin_at_the_earliest(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=2)
    broker.write(topic, numbers(0, 20), partitions=(0, 1))
    assert sorted(read(connection, [topic], start={(topic, 0): 8})[0]) == sorted([16, 18, *range(1, 20, 2)])


def test_partitions_added_while_down_are_read_from_their_first_message(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=1)
    broker.write(topic, numbers(0, 5))
    _, snapshot, _ = read(connection, [topic], start="latest")
    broker.admin.create_partitions([NewPartitions(topic, 2)])[topic].result(timeout=20)
    deadline = time.monotonic() + 10
    while len(broker.admin.list_topics(topic, timeout=5).topics[topic].partitions) < 2:
        assert time.monotonic() < deadline
    broker.write(topic, numbers(5, 8), partitions=(1,))
    seen, after, _ = read(connection, [topic], snapshot, start="latest")
    assert seen == [5, 6, 7]
    assert after == {(topic, 0): 5, (topic, 1): 3}


def test_gaps_that_transactions_leave_are_passed_and_the_end_is_still_found(connection: Connection, topic: str) -> None:
    producer = Producer({**connection, "transactional.id": f"tx-{topic}"})
    producer.init_transactions(20)
    for first, kept in ((0, True), (10, False), (20, True)):
        producer.begin_transaction()
        for n in range(first, first + 10):
            producer.produce(topic, b"%d" % n, partition=0)
        producer.flush(20)
        if kept:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    seen, snapshot, _ = read(connection, [topic])
    assert seen == [*range(10), *range(20, 30)]
    assert snapshot[topic, 0] >= 32
    assert read(connection, [topic], snapshot)[0] == []
    assert read(connection, [topic], {(topic, 0): 15})[0] == list(range(20, 30))


def test_a_position_that_retention_ate_is_an_error_or_a_counted_gap(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=2)
    broker.write(topic, numbers(0, 100), partitions=(0, 1))
    for deleted in broker.admin.delete_records([TopicPartition(topic, 0, 30)]).values():
        deleted.result(timeout=20)
    resume = {(topic, 0): 10, (topic, 1): 45}
    with pytest.raises(TransportError, match="expected offset 10, got a log from 30 to 50") as raised:
        read(connection, [topic], resume)
    assert "out_of_range='earliest'" in str(raised.value)
    seen, snapshot, source = read(connection, [topic], resume, out_of_range="earliest")
    assert sorted(seen) == sorted([*range(60, 100, 2), *range(91, 100, 2)])
    assert source.gaps == 20
    assert snapshot == {(topic, 0): 50, (topic, 1): 50}
    assert read(connection, [topic], None)[2].gaps == 0


def test_a_topic_that_does_not_exist_is_named(connection: Connection) -> None:

    with pytest.raises(TransportError, match=r"expected topics no\.such\.topic, got .*UNKNOWN_TOPIC.*topics plan"):
        read(connection, ["no.such.topic"], start_timeout=timedelta(seconds=0.3))


def test_the_end_that_was_asked_for_comes_at_the_next_batch(connection: Connection, topic: str, broker: Broker) -> None:
    broker.write(topic, numbers(0, 3))
    shutdown = Shutdown()
    part = KafkaSource(connection, [topic], group=None, shutdown=shutdown).build_part("in", "kafka", None)
    while not part.next_batch():
        pass
    shutdown.request()
    with pytest.raises(StopIteration):
        part.next_batch()
    assert part.snapshot() == {(topic, 0): 3}
    part.close()


def test_standard_tools_see_the_lag(connection: Connection, topic: str, broker: Broker) -> None:
    group = f"shown.{topic}"
    broker.write(topic, numbers(0, 70))
    source = KafkaSource(connection, [topic], group=group, batch_size=20)
    part = source.build_part("in", "kafka", None)
    deadline = time.monotonic() + 10
    while not (batches := part.next_batch()):
        assert time.monotonic() < deadline
    assert len(batches[0]) <= 20
    assert source.lag() == {(topic, 0): 70 - source.read}
    part.close()
    assert broker.committed(group) == {0: source.read}
