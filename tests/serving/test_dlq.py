"""Dead letters are held without their records; records are read anew, and go out a handful at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import msgspec
import pytest
from confluent_kafka import Message

from schemas.codec import encode
from schemas.dlq import DeadLetter, LetterMark, ReasonCode
from schemas.settings import Settings
from serving import dlq
from serving.dlq import DeadLetters, outcome_of, resend
from serving.topic_reader import Range

RAW = b'{"user_id":"42"}'


def letter(offset: int, *, raw: bytes = RAW, raw_size: int | None = None) -> DeadLetter:
    return DeadLetter(
        reason=ReasonCode.INTERNAL,
        expected="x",
        got="y",
        path="$",
        topic="telemetry.raw",
        partition=1,
        offset=offset,
        at_ms=offset,
        key=b"42",
        raw=raw,
        raw_size=raw_size,
    )


class World:
    """The two topics, each of one partition, what was read of them, and what was sent."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Message]] = {dlq.TOPIC: [], dlq.MARKS: []}
        self.read: list[tuple[int, int]] = []
        self.sent: list[bytes | None] = []
        self.flushes: list[int] = []

    def put(self, topic: str, key: str, value: bytes | None) -> None:
        there = self.topics[topic]
        there.append(Message(topic=topic, partition=0, offset=len(there), key=key.encode(), value=value))

    def set_aside(self, *letters: DeadLetter) -> None:
        for one in letters:
            self.put(dlq.TOPIC, one.letter_id, encode(one))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    class Reader:
        def __init__(self, _settings: Settings, topics: list[str]) -> None:
            (self.topic,) = topics
            self.next = 0

        def advance(self) -> Iterator[tuple[str, Message]]:
            start, self.next = self.next, len(world.topics[self.topic])
            return iter([(self.topic, one) for one in world.topics[self.topic][start:]])

        def read(self, ranges: list[Range]) -> Iterator[tuple[str, Message]]:
            (one,) = ranges
            world.read.append((one.start, one.end))
            return iter([(self.topic, message) for message in world.topics[self.topic][one.start : one.end]])

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    class Publisher(Reader):
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def put(self, _topic: str, _key: bytes, value: bytes, _partition: int, _fields: object, landed: Any) -> None:
            world.sent.append(value)
            landed(100 + len(world.sent))

        def publish(self, topic: str, key: str, mark: LetterMark) -> None:
            world.put(topic, key, encode(mark))

        def flush(self) -> None:
            world.flushes.append(len(world.sent))

    monkeypatch.setattr(dlq, "TopicReader", Reader)
    monkeypatch.setattr(dlq, "Publisher", Publisher)
    monkeypatch.setattr(dlq, "next_offsets", lambda *_: {})
    return world


def test_of_a_letter_no_bytes_are_held_and_who_it_is_about_is_known(world: World) -> None:
    world.set_aside(letter(1, raw=b'{"user_id":"7"}'), letter(2), letter(1, raw=b'{"user_id":"8"}'))
    world.put(dlq.TOPIC, "x", b"no letter")
    with DeadLetters(Settings()) as letters:
        held = letters.chains().letters
    assert {name: (one.users, one.stands_at) for name, one in held.items()} == {
        letter(1).letter_id: (("42", "8"), (0, 2)),
        letter(2).letter_id: (("42",), (0, 1)),
    }
    assert not any(isinstance(part, bytes) for one in held.values() for part in msgspec.structs.astuple(one))


def test_what_came_and_went_since_is_taken_in_and_an_earlier_answer_does_not_change(world: World) -> None:
    world.set_aside(letter(1))
    with DeadLetters(Settings()) as letters:
        first = letters.chains()
        world.put(dlq.TOPIC, letter(1).letter_id, None)
        world.set_aside(letter(2))
        assert list(letters.chains().letters) == [letter(2).letter_id]
        assert list(first.letters) == [letter(1).letter_id]


def test_records_are_read_from_where_they_stand_and_what_is_far_apart_is_not_read_through(world: World) -> None:
    world.set_aside(*map(letter, range(3_000)))
    with DeadLetters(Settings()) as letters:
        held = list(letters.chains().letters.values())
        assert [one.offset for one in letters.whole([held[n] for n in (2_900, 0, 5, 1_005, 2_100)])] == [0, 5, 1_005, 2_100, 2_900]
    assert world.read == [(0, 1_006), (2_100, 2_901)]


def test_records_go_out_by_handfuls_and_one_that_cannot_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "_AT_ONCE", 4)
    monkeypatch.setattr(dlq, "_AT_ONCE_BYTES", 100)
    large = letter(3, raw=b" " * 100 + RAW)
    world.set_aside(letter(1), letter(2), large, letter(4, raw_size=5_000), *map(letter, range(5, 9)))
    done: list[int] = []
    with DeadLetters(Settings()) as letters:
        marks, left = resend(letters, letters.chains().letters.values(), on_progress=done.append)
        assert outcome_of(letters, marks, wait_s=0.0).not_yet == 7
        assert letters.chains().state(letter(1).letter_id) == "retried"
    assert world.sent == [RAW, RAW, large.raw, RAW, RAW, RAW, RAW]
    assert done == [3, 7, 8]
    assert sorted(set(world.flushes)) == [3, 6, 7]
    assert [mark.offset for mark in marks] == list(range(101, 108))
    assert left == [
        f"expected the whole record of 5000 bytes, got its first {len(RAW)}, at {letter(4).letter_id}; "
        "send the record again from where it came from"
    ]
