"""Reads dead letters, says what became of each, sends them again, and marks those that shall stay as they are.

What operators did with a letter is on `control.letters`; a letter's state is derived from that, from the letters that came after it, and
from how far the parts have read. Nothing is kept elsewhere.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from confluent_kafka import Message

from operators.ingest.pieces import take_apart
from schemas import headers
from schemas.dlq import DeadLetter, LetterMark
from schemas.settings import Settings
from serving.errors import ContractError
from serving.letters import Chains, Letter
from serving.offsets import next_offsets
from serving.publisher import Publisher
from serving.topic_reader import Range, TopicReader, decoded, decoded_all

TOPIC = "telemetry.dlq"
MARKS = "control.letters"

_AT_ONCE = 500
_AT_ONCE_BYTES = 8 << 20
_NEAR = 1_000
_LOOK_EVERY_S = 0.5


class DeadLetters:
    """Follows the dead letters and what was done with them; of each it keeps what a list shows, its record stays on the topic.

    Parameters
    ----------
    settings : Settings
        Where the broker is.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._letters: dict[str, Letter] = {}
        self._marks: list[LetterMark] = []
        with ExitStack() as stack:
            self._marked = stack.enter_context(TopicReader(settings, [MARKS]))
            self._reader = stack.enter_context(TopicReader(settings, [TOPIC]))
            self._stack = stack.pop_all()

    def chains(self) -> Chains:
        """Read on to the ends of the topics as they are now, and return all dead letters with what became of each.

        Letters that a crash repeated are one, and what is no dead letter is passed over.
        """
        self._marks += decoded_all(LetterMark, (message for _, message in self._marked.advance()))
        sent = {(mark.topic, mark.partition) for mark in self._marks if mark.action == "sent"}
        # Offsets first: whatever was worked on before this moment has its letter, where it became one, by the next line.
        reached = next_offsets(self.settings, sent)
        for _, message in self._reader.advance():
            self._take(message)
        return Chains(dict(self._letters), self._marks, reached)

    def whole(self, letters: Iterable[Letter]) -> Iterator[DeadLetter]:
        """Yield letters with their records, read anew from where they stand, in that order; what has expired meanwhile is left out."""
        wanted: defaultdict[int, list[int]] = defaultdict(list)
        for letter in letters:
            partition, offset = letter.stands_at
            wanted[partition].append(offset)
        for partition, offsets in sorted(wanted.items()):
            for run in _runs(sorted(offsets)):
                there = set(run)
                for _, message in self._reader.read([Range(TOPIC, partition, run[0], run[-1] + 1)]):
                    if message.offset() in there:
                        yield decoded(DeadLetter, message)

    def _take(self, message: Message) -> None:
        if message.value() is None:
            self._letters.pop((message.key() or b"").decode(errors="replace"), None)
        for letter in decoded_all(DeadLetter, [message] if message.value() is not None else []):
            self._letters[letter.letter_id] = Letter.of(letter, (int(message.partition() or 0), int(message.offset() or 0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()


def _runs(offsets: list[int]) -> Iterator[list[int]]:
    """Part ascending offsets where it is cheaper to look elsewhere than to read what is between."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > _NEAR:
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def sendable(letters: Iterable[DeadLetter]) -> tuple[list[str], list[str]]:
    """Return the ids of letters that can be sent again, and of the others why they cannot."""
    good: list[str] = []
    why: list[str] = []
    for letter in letters:
        try:
            resent_value(letter)
        except ContractError as error:
            why.append(str(error))
        else:
            good.append(letter.letter_id)
    return good, why


def resent_value(letter: DeadLetter) -> bytes:
    """Return what goes out when a letter is sent again: the whole record as it came, or a batch of the one event that failed.

    Examples
    --------
    >>> from schemas.dlq import ReasonCode
    >>> where = {"topic": "telemetry.raw", "partition": 0, "offset": 7, "path": "$", "expected": "x", "got": "y", "at_ms": 0}
    >>> raw = b'{"user_id":"1","events":[{"event_id":"a"},{"event_id":"b"}]}'
    >>> resent_value(DeadLetter(reason=ReasonCode.INVALID_VALUE, event_index=1, raw=raw, **where))
    b'{"user_id":"1","events":[{"event_id":"b"}]}'

    Raises
    ------
    ContractError
        When the letter names an event that its record does not have, or holds the beginning of its record only.
    """
    if letter.raw_size is not None:
        raise ContractError(
            expected=f"the whole record of {letter.raw_size} bytes",
            got=f"its first {len(letter.raw)}",
            where=letter.letter_id,
            do="send the record again from where it came from",
        )
    if letter.event_index < 0:
        return letter.raw
    try:
        batch = msgspec.json.decode(letter.raw)
        event = batch["events"][letter.event_index]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError) as error:
        pieces = take_apart(letter.raw)
        if pieces is not None and letter.event_index < len(pieces.events):
            fields = [msgspec.json.encode(name) + b":" + value for name, value in pieces.fields.items()]
            return b"{" + b",".join([*fields, b'"events":[' + pieces.events[letter.event_index] + b"]"]) + b"}"
        raise ContractError(
            expected=f"a batch with an event {letter.event_index}",
            got=f"{type(error).__name__}: {error}",
            where=letter.letter_id,
            do=f"look at it with `penstock dlq show {letter.letter_id}`",
        ) from None
    return msgspec.json.encode({**batch, "events": [event]})


def resend(
    letters: DeadLetters, chosen: Iterable[Letter], *, reason: str = "", on_progress: Callable[[int], None] = lambda _done: None
) -> tuple[list[LetterMark], list[str]]:
    """Send letters to the topic and partition that they came from, mark them as sent, and return the marks; and why some cannot be sent.

    A letter is marked when the broker has its record. A crash in between leaves at most 500 letters that are sent without a mark; sent
    once more they are repeats, which ingest folds by event id. No more than those, or 8 MiB of records, are in memory at a time.

    Raises
    ------
    TransportError
        When the broker did not take all of them; those before are marked.
    """
    marks: list[LetterMark] = []
    left: list[str] = []
    with Publisher(letters.settings.kafka(), topic_prefix=letters.settings.topic_prefix) as publisher:
        for some in _handfuls(letters.whole(chosen)):
            outgoing: list[tuple[DeadLetter, bytes]] = []
            for letter in some:
                try:
                    outgoing.append((letter, resent_value(letter)))
                except ContractError as error:
                    left.append(str(error))
            marks += _send(publisher, outgoing, reason)
            on_progress(len(marks) + len(left))
    return marks, left


def _handfuls(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    some: list[DeadLetter] = []
    size = 0
    for letter in letters:
        some.append(letter)
        size += len(letter.raw)
        if len(some) == _AT_ONCE or size >= _AT_ONCE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _send(publisher: Publisher, outgoing: list[tuple[DeadLetter, bytes]], reason: str) -> list[LetterMark]:
    places: dict[str, int] = {}
    for letter, value in outgoing:
        fields = {headers.ATTEMPT: str(letter.attempt + 1), headers.ORIGIN_LETTER: letter.letter_id}

        def landed(offset: int, name: str = letter.letter_id) -> None:
            places[name] = offset

        publisher.put(letter.topic, letter.key, value, letter.partition, fields, landed)
    try:
        publisher.flush()
    finally:
        at_ms = time.time_ns() // 1_000_000
        marks = [
            LetterMark(
                letter_id=letter.letter_id,
                action="sent",
                at_ms=at_ms,
                topic=letter.topic,
                partition=letter.partition,
                offset=places[letter.letter_id],
                reason=reason,
            )
            for letter, _ in outgoing
            if letter.letter_id in places
        ]
        _mark(publisher, marks)
    return marks


def purge(settings: Settings, letter_ids: Iterable[str], *, reason: str = "") -> int:
    """Mark letters as purged, so that they are not sent again unless named, and return how many; the letters stay until they expire."""
    at_ms = time.time_ns() // 1_000_000
    marks = [LetterMark(letter_id=one, action="purged", at_ms=at_ms, reason=reason) for one in letter_ids]
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        _mark(publisher, marks)
    return len(marks)


def _mark(publisher: Publisher, marks: Iterable[LetterMark]) -> None:
    for mark in marks:
        publisher.publish(MARKS, mark.letter_id, mark)
    publisher.flush()


class Outcome(NamedTuple):
    """What became of letters that were sent again.

    `resolved` counts those that were taken in, `failed_again` names the letters that came of others, `not_yet` counts those that no part
    has worked on.
    """

    resolved: int = 0
    failed_again: tuple[str, ...] = ()
    not_yet: int = 0


def outcome_of(letters: DeadLetters, sent: Iterable[LetterMark], *, wait_s: float) -> Outcome:
    """Return what became of letters just sent, as soon as it is known of each, after `wait_s` seconds at the latest."""
    names = [mark.letter_id for mark in sent]
    deadline = time.monotonic() + wait_s
    while names:
        chains = letters.chains()
        resolved = {name for name in names if chains.state(name) == "resolved"}
        left = [name for name in names if name not in resolved]
        failed = tuple(child for name in left for child in chains.became(name))
        not_yet = sum(not chains.became(name) for name in left)
        if not not_yet or time.monotonic() >= deadline:
            return Outcome(len(resolved), failed, not_yet)
        time.sleep(_LOOK_EVERY_S)
    return Outcome()
