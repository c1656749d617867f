from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Message

from dataflows.kafka import GroupSource, Offsets, RequestBatch, Shutdown, SideBatch, TransportError
from dataflows.kafka.member import GroupPart

if TYPE_CHECKING:
    import subprocess

    from tests.integration.kafka.conftest import Broker

pytestmark = pytest.mark.integration

Connection = dict[str, str | int | float | bool]


def numbers(first: int, last: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % n, b"%d" % n) for n in range(first, last)]


class Member:
    """One member, driven by hand; keeps what it handed out, in order."""

    def __init__(self, connection: Connection, topic: str, group: str, **options: Any) -> None:
        self.shutdown = Shutdown()
        self.source = GroupSource(connection, topic, group=group, shutdown=self.shutdown, **options)
        self.part: GroupPart = self.source.build("in", 0, 1)
        self.items: list[SideBatch | RequestBatch] = []

    def turn(self) -> None:
        self.items += self.part.next_batch()

    def until(self, holds: Callable[[], bool], within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline
            self.turn()

    @property
    def requests(self) -> list[Message]:
        return [message for item in self.items if isinstance(item, RequestBatch) for message in item]

    @property
    def side(self) -> list[int]:
        return [int(message.value() or b"") for item in self.items if isinstance(item, SideBatch) for message in item]

    def done(self, messages: list[Message]) -> None:
        for message in messages:
            self.source.done(message.topic() or "", message.partition() or 0, message.offset() or 0)

    def stop(self) -> None:
        self.shutdown.request()
        with pytest.raises(StopIteration):
            while True:
                self.turn()
                time.sleep(0.005)
        self.part.close()


def test_no_request_is_read_before_the_side_topics_have_been(connection: Connection, broker: Broker) -> None:
    requests, first, second = broker.make_topic(partitions=2), broker.make_topic(partitions=3), broker.make_topic()
    broker.write(requests, numbers(0, 4), partitions=(0, 1))
    broker.write(first, numbers(0, 3_000), partitions=(0, 1, 2))
    member = Member(connection, requests, f"g.{requests}", side_topics=[first, second], side_batch_size=100)
    assert not member.source.caught_up
    while not member.source.caught_up:
        assert not member.source.joined
        member.turn()
    assert sorted(member.side) == list(range(3_000))
    member.until(lambda: len(member.requests) == 4)
    assert member.source.joined
    assert member.source.owned == [0, 1]
    kinds = [type(item) for item in member.items]
    assert kinds.index(RequestBatch) > max(n for n, kind in enumerate(kinds) if kind is SideBatch)
    member.done(member.requests)
    member.stop()


def test_news_of_the_side_topics_comes_before_the_requests_that_follow_it(connection: Connection, broker: Broker) -> None:
    requests, side = broker.make_topic(), broker.make_topic()
    member = Member(connection, requests, f"g.{requests}", side_topics=[side])
    member.until(lambda: member.source.joined)
    broker.write(side, numbers(0, 5))
    time.sleep(0.3)
    broker.write(requests, numbers(0, 1))
    member.until(lambda: len(member.requests) == 1)
    assert [type(item) for item in member.items] == [SideBatch, RequestBatch]
    assert member.items[0].next_offsets() == {(side, 0): 5}
    member.done(member.requests)
    member.stop()


def test_side_topics_are_read_on_from_given_offsets(connection: Connection, broker: Broker) -> None:
    requests, side = broker.make_topic(), broker.make_topic(partitions=2)
    broker.write(side, numbers(0, 10), partitions=(0, 1))
    start: Offsets = {(side, 0): 4}
    member = Member(connection, requests, f"g.{requests}", side_topics=[side], side_start=start)
    member.until(lambda: member.source.caught_up)
    assert sorted(member.side) == [1, 3, 5, 7, 8, 9]
    member.stop()


def test_only_what_is_done_is_committed_and_the_rest_is_read_again(connection: Connection, topic: str, broker: Broker) -> None:
    group = f"g.{topic}"
    broker.write(topic, numbers(0, 10))
    first = Member(connection, topic, group, drain=timedelta(milliseconds=100))
    first.until(lambda: len(first.requests) == 10)
    done = [message for message in first.requests if message.offset() not in (6, 8)]
    first.done(done)
    first.until(lambda: broker.committed(group) == {0: 6})
    assert first.source.lag() == {(topic, 0): 4}
    first.stop()
    assert broker.members(group) == []
    second = Member(connection, topic, group)
    second.until(lambda: len(second.requests) == 4)
    assert [message.offset() for message in second.requests] == [6, 7, 8, 9]
    second.done(second.requests)
    second.stop()
    assert broker.committed(group) == {0: 10}


def test_a_clean_end_waits_for_answers_and_commits_them(connection: Connection, topic: str, broker: Broker) -> None:
    broker.write(topic, numbers(0, 3))
    turns: list[Callable[[], None]] = []
    member = Member(connection, topic, f"g.{topic}", on_turn=lambda: [turn() for turn in turns])
    member.until(lambda: len(member.requests) == 3)
    member.shutdown.request()
    member.turn()
    turns.append(lambda: member.done(member.requests))
    member.stop()
    assert broker.committed(f"g.{topic}") == {0: 3}


def test_partitions_move_to_a_new_member_while_the_others_go_on(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=4)
    group = f"g.{topic}"
    first, second = Member(connection, topic, group), Member(connection, topic, group)
    first.until(lambda: first.source.owned == [0, 1, 2, 3])
    broker.write(topic, numbers(0, 40), partitions=range(4))
    first.until(lambda: len(first.requests) == 40)
    first.done(first.requests)
    deadline = time.monotonic() + 20
    while len(second.source.owned) < 2 or len(first.source.owned) > 2:
        assert time.monotonic() < deadline
        first.turn()
        second.turn()
    assert sorted(first.source.owned + second.source.owned) == [0, 1, 2, 3]
    assert {partition: offset for partition, offset in broker.committed(group).items() if partition in second.source.owned} == {
        partition: 10 for partition in second.source.owned
    }
    first.stop()
    second.until(lambda: second.source.owned == [0, 1, 2, 3])
    assert second.requests == []
    second.stop()


def test_a_static_member_that_is_back_in_time_gets_its_partitions_without_a_rebalance(connection: Connection, broker: Broker) -> None:
    topic = broker.make_topic(partitions=2)
    options = {"instance_id": "worker-0", "session_timeout": timedelta(seconds=20)}
    first = Member(connection, topic, f"g.{topic}", **options)
    first.until(lambda: first.source.owned == [0, 1])
    second = Member(connection, topic, f"g.{topic}", **options)
    second.until(lambda: second.source.owned == [0, 1], within_s=10.0)
    with pytest.raises(TransportError, match="fenced by other consumer"):
        first.until(lambda: False)
    first.part.close()
    second.stop()
    assert broker.members(f"g.{topic}") == [], "a clean end leaves the group, static or not"


def test_when_one_of_two_workers_is_killed_the_other_answers_every_request(
    connection: Connection, broker: Broker, eventually: Callable[..., None], spawn: Callable[..., subprocess.Popen[bytes]]
) -> None:
    requests, answers, side = broker.make_topic(partitions=4), broker.make_topic(), broker.make_topic()
    broker.write(side, numbers(0, 500))
    group = f"g.{requests}"
    options = {"bootstrap": broker.servers, "requests": requests, "to": answers, "side": [side], "group": group}
    workers = [spawn("answer", worker=n, **options) for n in range(2)]
    eventually(lambda: broker.members(group) == [2, 2])
    for first in range(0, 600, 20):
        broker.write(requests, numbers(first, first + 20), partitions=range(4))
        if first == 300:
            workers[0].kill()
        time.sleep(0.03)
    eventually(lambda: broker.size(answers) >= 600)
    eventually(lambda: sum(broker.committed(group).values()) == 600)
    workers[1].terminate()
    assert workers[1].wait(10) == 0
    assert broker.members(group) == [], "a clean end leaves the group at once"
    replies = [(message.key(), json.loads(message.value() or b"")) for message in broker.read_all(answers)]
    assert {key for key, _ in replies} == {b"k%d" % n for n in range(600)}
    assert {reply["worker"] for _, reply in replies} == {0, 1}
    assert {reply["table"] for _, reply in replies} == {500}
