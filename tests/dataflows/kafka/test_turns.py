"""Partitions take turns, each in its own order, nothing lost and nothing held for ever."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.kafka.turns import Turns


class Message:
    """What a turn looks at."""

    def __init__(self, partition: int, offset: int, size: int) -> None:
        self.place = ("t", partition)
        self.at = offset
        self.size = size

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return self.place[1]

    def __len__(self) -> int:
        return self.size


def take_from(turns: Turns, read: list[Any], most: int = 1_000) -> list[Any]:
    return turns.take(read, most)


def flood(n: int, size: int, partition: int = 0) -> list[Any]:
    return [Message(partition, offset, size) for offset in range(n)]


def test_what_is_little_goes_through_as_it_was_read() -> None:
    read = [*flood(5, 10), *flood(5, 10, 1)]
    assert Turns().take(read, 100) is read


def test_one_message_behind_a_flood_of_another_partition_is_in_the_next_batch() -> None:
    turns = Turns(turn_bytes=200)
    first = take_from(turns, flood(100, 100))
    assert [one.at for one in first] == [0, 1]
    second = take_from(turns, flood(1, 100, 1))
    assert [(one.partition(), one.at) for one in second] == [(0, 2), (1, 0)]


def test_a_message_larger_than_a_turn_is_handed_out_alone() -> None:
    turns = Turns(turn_bytes=10)
    assert len(turns.take(flood(3, 1_000), 1_000)) == 1
    assert turns


def test_a_partition_is_full_until_half_of_it_is_handed_out() -> None:
    turns = Turns(turn_bytes=100, held_bytes=1_000)
    turns.take(flood(12, 100), 1_000)
    assert turns.full() == {("t", 0)}
    while not turns.drained({("t", 0)}):
        assert len(turns.take([], 1_000)) == 1
    assert sum(len(turns.take([], 1_000)) for _ in range(4)) == 4
    assert (bool(turns), turns.full(), turns.drained({("t", 0)})) == (False, set(), {("t", 0)})


def test_nobody_starves_where_a_batch_has_fewer_messages_than_there_are_partitions() -> None:
    turns = Turns(turn_bytes=100)
    turns.take([*flood(9, 100), *flood(9, 100, 1), *flood(9, 100, 2)], 1)
    assert [turns.take([], 1)[0].partition() for _ in range(5)] == [1, 2, 0, 1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=20), max_size=12), st.integers(1, 12))
def test_every_message_comes_out_once_and_in_the_order_of_its_partition(reads: list[list[tuple[int, int]]], most: int) -> None:
    turns, ends = Turns(turn_bytes=300), defaultdict[int, int](int)
    seen: dict[int, list[int]] = defaultdict(list)

    def take(read: list[Any]) -> None:
        batch = take_from(turns, read, most)
        assert len(batch) <= most
        for one in batch:
            seen[one.partition()].append(one.at)

    for read in reads:
        made = []
        for partition, size in read:
            made.append(Message(partition, ends[partition], size))
            ends[partition] += 1
        take(made)
    for _ in range(sum(ends.values())):
        take([])
    assert not turns
    assert seen == {partition: list(range(end)) for partition, end in ends.items()}
