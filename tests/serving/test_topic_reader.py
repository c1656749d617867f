"""What a reader of topics does with ends, faults and silence; that it reads is tested on the real broker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from schemas.catalog import Moderation
from schemas.codec import encode
from schemas.settings import Settings
from serving import broker, topic_reader
from serving.broker import TopicMissing
from serving.errors import ServiceError
from serving.topic_reader import Range, TopicReader, decoded_all

BLOCK = Moderation(kind="video", id="v", blocked=True, at_ms=1)


def record(offset: int, partition: int = 0) -> Message:
    return Message(topic="p.t", partition=partition, offset=offset, value=b"%d" % offset)


def event(code: int, offset: int = -1, partition: int = 0) -> Message:
    return Message(topic="p.t", partition=partition, offset=offset, error=KafkaError(code))


def end(offset: int, partition: int = 0) -> Message:
    return event(KafkaError._PARTITION_EOF, offset, partition)


class Broker:
    """A consumer of the topic `p.t` that says what it is told to say."""

    def __init__(self, *says: Message | None, bounds: tuple[tuple[int, int], ...] = ((0, 3),), refuses: tuple[int, ...] = ()) -> None:
        self.says = list(says)
        self.bounds = bounds
        self.refuses = list(refuses)
        self.assigned: list[list[tuple[int, int]]] = []
        self.closed = False

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        if self.refuses:
            raise KafkaException(KafkaError(self.refuses.pop(0)))
        assert timeout > 0
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=dict(enumerate(self.bounds)))})

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return self.bounds[place.partition]

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned.append([(place.partition, place.offset) for place in places])

    def unassign(self) -> None: ...

    def incremental_unassign(self, _places: list[TopicPartition]) -> None: ...

    def poll(self, _wait_s: float) -> Message | None:
        return self.says.pop(0) if self.says else None

    def consume(self, most: int, _wait_s: float) -> list[Message]:
        came: list[Message] = []
        while self.says and (one := self.says[0]) is not None and len(came) < most:
            came.append(one)
            self.says.pop(0)
        return came

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def reader_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A reader of `t` in front of a broker that is no broker; it gives up after a moment."""
    monkeypatch.setattr(topic_reader, "ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr(broker, "ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr(broker, "_AGAIN_S", 0.001)

    def make(told: Broker, **options: Any) -> TopicReader:
        monkeypatch.setattr(broker, "Consumer", lambda *_, **__: told)
        return TopicReader(Settings(topic_prefix="p."), ["t"], **options)

    return make


def offsets(read: Iterator[tuple[str, Message]]) -> list[tuple[str, int]]:
    return [(topic, int(message.offset() or 0)) for topic, message in read]


def test_a_step_ends_where_the_topic_ended_when_it_began(reader_of: Any) -> None:
    told = Broker(record(0), record(1), record(2), record(3), record(4))
    reader = reader_of(told)
    assert offsets(reader.advance()) == [("t", 0), ("t", 1), ("t", 2)]
    told.bounds, told.says = ((0, 5),), [record(3), record(4)]
    assert offsets(reader.advance()) == [("t", 3), ("t", 4)]
    assert told.assigned == [[(0, 0)], [(0, 3)]]
    assert offsets(reader.advance()) == []


def test_a_tail_that_compaction_has_taken_ends_with_the_partition(reader_of: Any) -> None:
    reader = reader_of(Broker(record(0), end(3)))
    assert offsets(reader.advance()) == [("t", 0)]


def test_an_end_that_was_met_before_the_end_that_is_wanted_ends_nothing(reader_of: Any) -> None:
    reader = reader_of(Broker(end(1), record(1), record(2)))
    assert offsets(reader.read([Range("t", 0, 1, 3)])) == [("t", 1), ("t", 2)]


def test_each_partition_ends_by_itself_and_an_empty_range_asks_for_nothing(reader_of: Any) -> None:
    told = Broker(record(0, 1), record(0), record(5), record(1, 1), bounds=((0, 1), (0, 2), (7, 7)))
    reader = reader_of(told)
    assert [len(one) for one in reader.ranges("t")] == [1, 2, 0]
    assert offsets(reader.advance()) == [("t", 0), ("t", 0), ("t", 1)]
    assert told.assigned == [[(0, 0), (1, 0)]]


def test_what_passes_is_passed_over_and_what_does_not_is_told(reader_of: Any) -> None:
    passing = [event(KafkaError._ALL_BROKERS_DOWN), event(KafkaError.NOT_LEADER_FOR_PARTITION)]
    assert offsets(reader_of(Broker(record(0), *passing, record(2))).advance()) == [("t", 0), ("t", 2)]
    with pytest.raises(ServiceError, match=r"expected records, got .*, at p\.t"):
        list(reader_of(Broker(record(0), event(KafkaError.TOPIC_AUTHORIZATION_FAILED))).advance())
    with pytest.raises(ServiceError, match=r"expected records, got .*, at p\.t"):
        reader_of(Broker(event(KafkaError.TOPIC_AUTHORIZATION_FAILED))).poll(0.0)


def test_silence_before_the_end_is_an_error_that_names_the_partition(reader_of: Any) -> None:
    with pytest.raises(ServiceError, match=r"expected the rest of the topics, got no answer, at p\.t/0"):
        list(reader_of(Broker(record(0))).advance())


def test_an_election_is_waited_for_and_a_missing_topic_only_as_long_as_is_said(reader_of: Any) -> None:
    told = Broker(refuses=(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._TRANSPORT))
    assert reader_of(told).ranges("t") == [Range("t", 0, 0, 3)]
    told = Broker(refuses=(KafkaError.UNKNOWN_TOPIC_OR_PART,))
    with pytest.raises(TopicMissing, match=r"expected a topic of the cluster, got .*, at p\.t; run `penstock topics apply`"):
        reader_of(told, new_topic_s=0.0)
    assert told.closed
    with pytest.raises(ServiceError, match=r"expected an answer of the broker"):
        reader_of(Broker(refuses=(KafkaError._TRANSPORT,) * 1_000))


def test_who_follows_from_now_on_begins_at_the_end_and_goes_on_after_a_look_elsewhere(reader_of: Any) -> None:
    told = Broker(record(3), None, record(0), record(1), record(2), None, record(4))
    reader = reader_of(told, start="latest")
    assert offsets(reader.poll(0.0)) == [("t", 3)]
    assert offsets(reader.poll(0.0)) == []
    assert offsets(reader.read([Range("t", 0, 0, 3)])) == [("t", 0), ("t", 1), ("t", 2)]
    told.says.pop(0)
    assert offsets(reader.poll(0.0)) == [("t", 4)]
    assert told.assigned == [[(0, 3)], [(0, 0)], [(0, 4)]]


def test_the_newest_record_that_says_something_is_looked_for_further_and_further_back(reader_of: Any) -> None:
    told = Broker(*map(record, range(280, 300)), None, *map(record, range(100, 300)), bounds=((0, 300),))
    assert reader_of(told).newest("t", lambda message: message.offset() if (message.offset() or 0) in {120, 150} else None) == 150
    assert told.assigned == [[(0, 280)], [(0, 100)]]
    nothing = Broker(*map(record, range(3)))
    assert reader_of(nothing).newest("t", lambda _: None) is None


def test_progress_is_told_out_of_all_that_is_there(reader_of: Any) -> None:
    seen: list[tuple[int, int]] = []
    list(reader_of(Broker(record(0), None, record(1), record(2))).advance(lambda read, total: seen.append((read, total))))
    assert seen[0] == (1, 3)
    assert seen[-1] == (3, 3)


def test_a_record_that_somebody_wrote_wrongly_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    values = [b"{", encode(BLOCK), None, b"\xff"]
    messages = [Message(topic="control.moderation", partition=0, offset=n, value=value) for n, value in enumerate(values)]
    assert list(decoded_all(Moderation, messages)) == [BLOCK]
    assert [f"control.moderation/0/{n}" in one.getMessage() for n, one in zip((0, 2, 3), caplog.records, strict=True)] == [True] * 3
