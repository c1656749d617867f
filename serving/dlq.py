"""Dead letters: reads them, says what became of each, sends them round again, and marks what shall stay as it is.

What operators did with a letter is on `control.letters`; a letter's state is derived from that, from the letters that came after it, and
from how far the parts have read. Nothing is kept elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from operators.ingest.pieces import take_apart
from schemas import headers
from schemas.dlq import DeadLetter, LetterMark
from schemas.settings import Settings
from serving.errors import ContractError
from serving.letters import Chains
from serving.offsets import next_offsets
from serving.publisher import Publisher
from serving.topic_reader import decoded_all, last_by_key, read_topic

TOPIC = "telemetry.dlq"
MARKS = "control.letters"

_AT_ONCE = 500
_LOOK_EVERY_S = 0.5


def read_letters(settings: Settings) -> dict[str, DeadLetter]:
    """Return all dead letters by id; those that a crash repeated are one, and what is no dead letter is passed over."""
    return {letter.letter_id: letter for letter in decoded_all(DeadLetter, last_by_key(settings, TOPIC).values())}


def read_chains(settings: Settings) -> Chains:
    """Return all dead letters with what became of each."""
    marks = list(decoded_all(LetterMark, read_topic(settings, MARKS)))
    sent = {(mark.topic, mark.partition) for mark in marks if mark.action == "sent"}
    # Offsets first: whatever was worked on before this moment has its letter, where it became one, by the next line.
    reached = next_offsets(settings, sent)
    return Chains(read_letters(settings), marks, reached)


def sendable(letters: Iterable[DeadLetter]) -> tuple[list[DeadLetter], list[str]]:
    """Part letters that can be sent again from those that cannot; of the latter, say why."""
    good: list[DeadLetter] = []
    why: list[str] = []
    for letter in letters:
        try:
            resent_value(letter)
        except ContractError as error:
            why.append(str(error))
        else:
            good.append(letter)
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
    settings: Settings, letters: Iterable[DeadLetter], *, reason: str = "", on_progress: Callable[[int], None] | None = None
) -> list[LetterMark]:
    """Send letters to the topic and partition that they came from, mark them as sent, and return the marks.

    A letter is marked when the broker has its record. A crash in between leaves at most 500 letters that are sent without a mark; sent
    once more they are repeats, which ingest folds by event id.

    Raises
    ------
    ContractError
        When a letter does not fit its own record; nothing has been sent.
    TransportError
        When the broker did not take all of them; those before are marked.
    """
    outgoing = [(letter, resent_value(letter)) for letter in letters]
    marks: list[LetterMark] = []
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for start in range(0, len(outgoing), _AT_ONCE):
            marks += _send(publisher, outgoing[start : start + _AT_ONCE], reason)
            if on_progress is not None:
                on_progress(len(marks))
    return marks


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


def purge(settings: Settings, letters: Iterable[DeadLetter], *, reason: str = "") -> int:
    """Mark letters as purged, so that they are not sent again unless named, and return how many; the letters stay until they expire."""
    at_ms = time.time_ns() // 1_000_000
    marks = [LetterMark(letter_id=letter.letter_id, action="purged", at_ms=at_ms, reason=reason) for letter in letters]
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


def outcome_of(settings: Settings, sent: Iterable[LetterMark], *, wait_s: float) -> Outcome:
    """Return what became of letters just sent, as soon as it is known of each, after `wait_s` seconds at the latest."""
    names = [mark.letter_id for mark in sent]
    deadline = time.monotonic() + wait_s
    while names:
        chains = read_chains(settings)
        resolved = {name for name in names if chains.state(name) == "resolved"}
        left = [name for name in names if name not in resolved]
        failed = tuple(child for name in left for child in chains.became(name))
        not_yet = sum(not chains.became(name) for name in left)
        if not not_yet or time.monotonic() >= deadline:
            return Outcome(len(resolved), failed, not_yet)
        time.sleep(_LOOK_EVERY_S)
    return Outcome()
