"""Dead letters: reads them, folds repeats, and sends them round again."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from schemas import headers
from schemas.dlq import DeadLetter
from schemas.settings import Settings
from serving.errors import ContractError
from serving.publisher import Publisher
from serving.reading import decoded
from serving.records import last_by_key

TOPIC = "telemetry.dlq"

_log = logging.getLogger(__name__)


def read_letters(settings: Settings) -> dict[str, DeadLetter]:
    """Return all dead letters by id; those that a crash repeated are one, and what is no dead letter is passed over."""
    letters: dict[str, DeadLetter] = {}
    for message in last_by_key(settings, TOPIC).values():
        try:
            letter = decoded(DeadLetter, message)
        except ContractError as error:
            _log.error("passed over: %s", error)
            continue
        letters[letter.letter_id] = letter
    return letters


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
    if letter.raw_bytes is not None:
        raise ContractError(
            expected=f"the whole record of {letter.raw_bytes} bytes",
            got=f"its first {len(letter.raw)}",
            where=letter.letter_id,
            do="send the record again from where it came from",
        )
    if letter.event_index < 0:
        return letter.raw
    try:
        batch = msgspec.json.decode(letter.raw)
        event = batch["events"][letter.event_index]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError) as error:
        raise ContractError(
            expected=f"a batch with an event {letter.event_index}",
            got=f"{type(error).__name__}: {error}",
            where=letter.letter_id,
            do=f"look at it with `penstock dlq show {letter.letter_id}`",
        ) from None
    return msgspec.json.encode({**batch, "events": [event]})


def resend(settings: Settings, letters: Iterable[DeadLetter]) -> int:
    """Send letters to the topic and partition that they came from, with the next attempt number in a header; return how many.

    Raises
    ------
    ContractError
        When a letter does not fit its own record; nothing has been sent.
    TransportError
        When the broker did not take all of them.
    """
    outgoing = [(letter, resent_value(letter)) for letter in letters]
    with Publisher(settings.kafka()) as publisher:
        for letter, value in outgoing:
            publisher.put(letter.topic, letter.key, value, letter.partition, {headers.ATTEMPT: str(letter.attempt + 1)})
    return len(outgoing)
