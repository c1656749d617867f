"""Reads the topics back after a fuzz and says what became of every record; what is right is decided by the contracts, not by the parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec
from confluent_kafka import Message

from schemas import headers
from schemas.catalog import ItemVector
from schemas.codec import DecodeError, decode
from schemas.dlq import DeadLetter
from schemas.settings import Settings
from schemas.telemetry import Event, UserHistory
from schemas.validity import catalog_item, key_id, user_record
from serving.topic_reader import read_topic
from tests.chaos.fuzz.sending import FATES
from tests.chaos.fuzz.telemetry_records import Fate

_WHOLE = -1
_EXAMPLES = 10

Place = tuple[int, int]


class Account(msgspec.Struct, kw_only=True):
    """What became of the records of one kind.

    `taken` counts events and answers, `set_aside` letters and error answers, `passed_over` repeats and requests that had expired.
    """

    kind: str
    records: int = 0
    taken: int = 0
    set_aside: int = 0
    passed_over: int = 0
    wrong: int = 0
    examples: list[str] = []

    def complain(self, text: str) -> None:
        """Count a record that did not become what it must, and keep the first ones."""
        self.wrong += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)


def accounts(settings: Settings) -> list[Account]:
    """Read all topics that the fuzz wrote to and the ones that answer for them."""
    letters: dict[str, dict[Place, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for message in read_topic(settings, "telemetry.dlq"):
        letter = decode(DeadLetter, message.value() or b"")
        letters[letter.topic][letter.partition, letter.offset][letter.event_index] += 1
    return [
        _raw(settings, letters[settings.topic_prefix + "telemetry.raw"]),
        _catalogue(settings, letters[settings.topic_prefix + "catalog.items"]),
        _requests(settings),
    ]


def refused_by_features(settings: Settings) -> int:
    """Return how many records of its topics are not valid, so that the features part must have counted them as rejected."""
    refused = 0
    for topic, kind in (("telemetry.events", Event), ("telemetry.history", UserHistory)):
        for message in read_topic(settings, topic):
            value = message.value()
            refused += value is not None and not _decodes(kind, value)
    for message in read_topic(settings, "users.records"):
        key, value = _key(message), message.value()
        try:
            if value is None:
                key_id(key)
            else:
                user_record(key, value)
        except DecodeError:
            refused += 1
    return refused


def _raw(settings: Settings, letters: dict[Place, Counter[int]]) -> Account:
    events: dict[Place, set[int]] = defaultdict(set)
    for message in read_topic(settings, "telemetry.events"):
        value = message.value() or b""
        if _decodes(Event, value):
            origin = decode(Event, value).origin
            events[origin.partition, origin.offset].add(origin.index)
    account = Account(kind="raw")
    for message in read_topic(settings, "telemetry.raw"):
        place = (message.partition() or 0, message.offset() or 0)
        fates = (_header(message, FATES) or b"").decode()
        taken, lettered = events.get(place, set()), letters.get(place, Counter())
        account.records += 1
        account.taken += len(taken)
        account.set_aside += sum(lettered.values())
        account.passed_over += fates.count(Fate.REPEAT)
        for index, fate in enumerate(fates):
            if not _is_as_it_must(Fate(fate), index, taken, lettered):
                became = f"events {sorted(taken)[:9]}, letters {dict(lettered)}"
                account.complain(f"{place}[{index}] {fates[:80]}: {became}: {(message.value() or b'')[:300]!r}")
                break
    return account


def _is_as_it_must(fate: Fate, index: int, taken: set[int], lettered: Counter[int]) -> bool:
    """Tell whether a generated event (for WHOLE and a lone EITHER: a record) became what it must."""
    aside = lettered[index] == 1 or lettered[_WHOLE] == 1
    match fate:
        case Fate.EVENT:
            return index in taken and lettered[index] == 0
        case Fate.LETTER:
            return index not in taken and aside
        case Fate.REPEAT:
            return index not in taken and lettered[index] <= 1
        case Fate.WHOLE:
            return not taken and lettered == Counter({_WHOLE: 1})
        case Fate.EITHER:
            return bool(taken) or bool(lettered)


def _catalogue(settings: Settings, letters: dict[Place, Counter[int]]) -> Account:
    """Every record is taken or lettered, and each video's newest valid one is what its vector was made of."""
    account = Account(kind="catalogue")
    newest: dict[str, int | None] = {}
    for message in read_topic(settings, "catalog.items"):
        place = (message.partition() or 0, message.offset() or 0)
        key, value = _key(message), message.value()
        account.records += 1
        try:
            if value is None:
                video_id = key_id(key)
                if video_id in newest:
                    newest[video_id] = None
            else:
                newest[catalog_item(key, value).item.video_id] = place[1]
        except DecodeError as error:
            account.set_aside += 1
            if letters.get(place) != Counter({_WHOLE: 1}):
                account.complain(f"{place} {error}: letters {letters.get(place)}")
        else:
            account.taken += 1
            if place in letters:
                account.complain(f"{place} is valid: letters {letters[place]}")
    made = _vectors(settings)
    for video_id, offset in newest.items():
        if offset not in made[video_id] and not (offset is None and not made[video_id]):
            account.complain(f"{video_id!r}: no vector of its record at {offset}")
    return account


def _vectors(settings: Settings) -> dict[str, set[int | None]]:
    """Return, per video, the offsets of the catalogue's records that vectors were made of; None is a deletion."""
    made: dict[str, set[int | None]] = defaultdict(set)
    for message in read_topic(settings, "catalog.vectors"):
        value = message.value()
        name = (_key(message) or b"").decode(errors="replace")
        if value is None:
            made[name].add(None)
        elif _decodes(ItemVector, value):
            made[name].add(decode(ItemVector, value).catalog_offset)
    return made


def _requests(settings: Settings) -> Account:
    """Every request that has not expired is answered, under the correlation that it brought or under its name."""
    answered: dict[bytes, bool] = {}
    for message in read_topic(settings, "feed.responses"):
        is_error = b'"error":{' in (message.value() or b"")
        answered |= {name: is_error for name in (_key(message), *_correlations(message)) if name is not None}
    account = Account(kind="requests")
    for message in read_topic(settings, "feed.requests"):
        account.records += 1
        replies = [answered[name] for name in (*_correlations(message), *_names(message)) if name is not None and name in answered]
        deadline = _header(message, headers.DEADLINE_MS) or b""
        if replies:
            account.set_aside += replies[0]
            account.taken += not replies[0]
        elif deadline.isdigit() and int(deadline) < message.timestamp()[1]:
            account.passed_over += 1
        else:
            account.complain(f"{message.partition()}/{message.offset()} {str(message.headers())[:300]}: {(message.value() or b'')[:200]!r}")
    return account


def _correlations(message: Message) -> tuple[bytes | None, bytes | None]:
    return _header(message, headers.CORRELATION_ID), _header(message, "kafka_correlationId")


def _header(message: Message, name: str) -> bytes | None:
    value = dict(message.headers() or []).get(name)
    return value.encode() if isinstance(value, str) else value


class _Named(msgspec.Struct):
    request_id: msgspec.Raw = msgspec.Raw()


def _names(message: Message) -> Iterator[bytes]:
    """Yield the ids under which a request without a correlation may be answered; the rest of it need not be right."""
    yield f"{message.topic()}-{message.partition()}-{message.offset()}".encode()
    try:
        named = msgspec.json.decode(message.value() or b"", type=_Named)
        yield msgspec.json.decode(named.request_id, type=str).encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return


def _decodes(kind: type[msgspec.Struct], value: bytes) -> bool:
    try:
        decode(kind, value)
    except DecodeError:
        return False
    return True


def _key(message: Message) -> bytes | None:
    key = message.key()
    return key.encode() if isinstance(key, str) else key
