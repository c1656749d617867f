"""Lets partitions take turns: a flood on one of them holds up the others by about one batch."""

from __future__ import annotations

from collections import deque

from confluent_kafka import Message

TURN_BYTES = 262_144
"""About how many bytes one batch has, where more is waiting."""
HELD_BYTES = 1_048_576
"""A partition of which this much is held is not read on until half of it is handed out."""

Place = tuple[str, int]


class Turns:
    """Holds messages that were read, by partition, and hands them out in turn.

    librdkafka hands out what it fetched in the order of its fetches, up to megabytes of one partition at a time. Here each partition that
    has something gets an equal share of a batch, at least one message, in offset order.

    Parameters
    ----------
    turn_bytes
        Bytes of the values in a batch, more or less.
    held_bytes
        Bytes of the values held of one partition, beyond which it is `full`.
    """

    def __init__(self, *, turn_bytes: int = TURN_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self.turn_bytes = turn_bytes
        self.held_bytes = held_bytes
        self._held: dict[Place, deque[Message]] = {}
        self._bytes: dict[Place, int] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def holds(self, place: Place) -> bool:
        """Return whether messages of a partition are held."""
        return place in self._held

    def full(self) -> set[Place]:
        """Return the partitions of which enough is held."""
        return {place for place, held in self._bytes.items() if held >= self.held_bytes}

    def drained(self, places: set[Place]) -> set[Place]:
        """Return those of `places` that may be read on."""
        return {place for place in places if self._bytes.get(place, 0) < self.held_bytes // 2}

    def take(self, read: list[Message], most: int) -> list[Message]:
        """Return the next batch of at most `most` messages, from what is held and what was just read."""
        if not self._held and len(read) <= most and sum(map(len, read)) <= self.turn_bytes:
            return read
        for message in read:
            place = (message.topic() or "", message.partition() or 0)
            self._held.setdefault(place, deque()).append(message)
            self._bytes[place] = self._bytes.get(place, 0) + len(message)
        batch: list[Message] = []
        share, turns = self.turn_bytes // max(1, len(self._held)), len(self._held)
        for place in list(self._held):
            room = -(-(most - len(batch)) // turns)
            turns -= 1
            if room:
                batch += self._of(place, share, room)
        return batch

    def _of(self, place: Place, share: int, most: int) -> list[Message]:
        """Take from one partition, and put it behind the others."""
        held, size = self._held.pop(place), 0
        taken: list[Message] = []
        while held and len(taken) < most and (not taken or size + len(held[0]) <= share):
            message = held.popleft()
            taken.append(message)
            size += len(message)
        self._bytes[place] -= size
        if held:
            self._held[place] = held
        else:
            del self._bytes[place]
        return taken
