"""Chains of dead letters: a letter that was sent again, and the letters that came of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Literal, Self, TypeAlias

import msgspec

from schemas.dlq import DeadLetter, LetterMark, ReasonCode

State: TypeAlias = Literal["open", "retried", "resolved", "purged"]
Place: TypeAlias = tuple[str, int]
"""Topic (its full name) and partition."""


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A dead letter without its record: what a list shows, and where the whole of it stands on its topic."""

    letter_id: str
    reason: ReasonCode
    expected: str
    got: str
    path: str
    topic: str
    partition: int
    offset: int
    event_id: str | None
    attempt: int
    at_ms: int
    users: tuple[str, ...]
    stands_at: tuple[int, int]
    """Partition and offset of `telemetry.dlq`."""

    @classmethod
    def of(cls, letter: DeadLetter, stands_at: tuple[int, int]) -> Self:
        """Return what is kept of a dead letter; texts that many share are held once."""
        return cls(
            letter_id=letter.letter_id,
            reason=letter.reason,
            expected=intern(letter.expected),
            got=letter.got,
            path=intern(letter.path),
            topic=intern(letter.topic),
            partition=letter.partition,
            offset=letter.offset,
            event_id=letter.event_id,
            attempt=letter.attempt,
            at_ms=letter.at_ms,
            users=tuple(sorted(users_of(letter))),
            stands_at=stands_at,
        )


class Chains:
    """Dead letters with what became of each.

    ======== ==========================================================================================
    open     never sent again
    retried  sent again and not known to be taken in, or a letter that came of one that was sent again
    resolved sent again and taken in; or a duplicate, whose event was counted before
    purged   marked so by an operator
    ======== ==========================================================================================

    Parameters
    ----------
    letters : Mapping[str, Letter]
        All of them by id.
    marks : Iterable[LetterMark]
        What operators did, oldest first.
    reached : Mapping[Place, int]
        Offset before which every record of a partition was worked on; a partition that is not there is not known.
    """

    def __init__(self, letters: Mapping[str, Letter], marks: Iterable[LetterMark], reached: Mapping[Place, int]) -> None:
        self.letters = letters
        self._reached = reached
        self._last: dict[str, LetterMark] = {}
        self._sends: defaultdict[str, list[LetterMark]] = defaultdict(list)
        origin: dict[tuple[str, int, int], str] = {}
        for mark in marks:
            self._last[mark.letter_id] = mark
            if mark.action == "sent":
                self._sends[mark.letter_id].append(mark)
                origin[mark.topic, mark.partition, mark.offset] = mark.letter_id
        self._parent: dict[str, str] = {}
        self._children: defaultdict[str, list[str]] = defaultdict(list)
        for name, letter in letters.items():
            parent = origin.get((letter.topic, letter.partition, letter.offset))
            # what is sent again lands behind where it came from: chains have no circles
            if parent is not None and (parent not in letters or letters[parent].offset < letter.offset):
                self._parent[name] = parent
                self._children[parent].append(name)

    def state(self, name: str) -> State:
        """Return how it stands with a letter."""
        letter, mark = self.letters.get(name), self._last.get(name)
        if mark is not None and mark.action == "purged":
            return "purged"
        if letter is not None and letter.reason is ReasonCode.DUPLICATE:
            return "resolved"
        if mark is None:
            return "retried" if name in self._parent else "open"
        came_back = [child for child in self._children[name] if self.letters[child].offset == mark.offset]
        if came_back:
            return "resolved" if all(self.state(child) == "resolved" for child in came_back) else "retried"
        return "resolved" if self._reached.get((mark.topic, mark.partition), -1) > mark.offset else "retried"

    def became(self, name: str) -> list[str]:
        """Return the ids of the letters that came of a letter when it was sent again, the newest send's only."""
        mark = self._last.get(name)
        return [] if mark is None else [child for child in self._children[name] if self.letters[child].offset == mark.offset]

    def tries(self, name: str) -> int:
        """Return how often the record of a letter was tried, its first time included."""
        return len(self._ancestors(name)) + 1

    def first(self, name: str) -> str:
        """Return the id of the first letter of the chain."""
        return self._ancestors(name)[-1] if name in self._parent else name

    def was_sent(self, name: str) -> bool:
        """Tell whether a letter was sent again."""
        return name in self._sends

    def due(self, names: Iterable[str], *, max_attempts: int) -> list[str]:
        """Return the letters that a retry of all sends: neither sent nor settled, tried less often than `max_attempts`."""
        return [
            name
            for name in names
            if not self.was_sent(name) and self.state(name) in {"open", "retried"} and self.tries(name) < max_attempts
        ]

    def _ancestors(self, name: str) -> list[str]:
        """Return the letters that a letter came of, the nearest first."""
        found: list[str] = []
        while (parent := self._parent.get(name)) is not None:
            found.append(parent)
            name = parent
        return found


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which letters: those that fit everything that is said.

    Parameters
    ----------
    reason : ReasonCode, optional
        Why it was set aside.
    topic : str, optional
        Where it came from, the name as in topics.yaml or with the prefix.
    user : str, optional
        Whose record it was: its key, or the `user_id` in it.
    since_ms, until_ms : int, optional
        When it was set aside, `since_ms` included.
    state : State, optional
        How it stands.
    prefix : str
        In front of every topic's name.
    """

    reason: ReasonCode | None = None
    topic: str | None = None
    user: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    state: State | None = None
    prefix: str = ""

    def of(self, chains: Chains) -> Iterator[str]:
        """Yield the ids of the letters that fit, in the order of the topic."""
        for name, letter in chains.letters.items():
            if self._fits(letter) and (self.state is None or chains.state(name) == self.state):
                yield name

    def _fits(self, letter: Letter) -> bool:
        return (
            (self.reason is None or letter.reason is self.reason)
            and (self.topic is None or letter.topic in {self.topic, self.prefix + self.topic})
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
            and (self.until_ms is None or letter.at_ms < self.until_ms)
            and (self.user is None or self.user in letter.users)
        )


class _Named(msgspec.Struct):
    user_id: object = None


def users_of(letter: DeadLetter) -> set[str]:
    """Return who a letter is about: its key, and the `user_id` of its record, where they can be read."""
    found = set()
    try:
        found.add((letter.key or b"").decode())
    except UnicodeDecodeError:
        pass
    try:
        found.add(str(msgspec.json.decode(letter.raw, type=_Named).user_id))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return found
