"""Recounts the topics and compares: nothing acknowledged is lost, nothing is counted twice, every counter in the store is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

import msgspec
from confluent_kafka import Message
from redis import Redis

from operators.ingest.pieces import take_apart
from operators.profiles.interest import TAGS_KEPT
from operators.windows.counting import tags_of
from schemas import keys
from schemas.codec import unpack
from schemas.dlq import DeadLetter
from schemas.features import EntityCounters, UserState
from schemas.settings import Settings
from schemas.telemetry import Event
from serving.errors import ContractError
from serving.recount import Recount, Wrong
from serving.topic_reader import TopicReader, decoded

RAW, EVENTS, LETTERS, ENTITIES = "telemetry.raw", "telemetry.events", "telemetry.dlq", "features.items"
_WHOLE_RECORD = -1
_USERS_A_CALL = 500

Place = tuple[int, int, int]


class _LooseEvent(msgspec.Struct):
    event_id: object = None


class _LooseBatch(msgspec.Struct):
    user_id: object = None
    events: list[_LooseEvent] = []


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a recount found.

    `acknowledged` counts the events on `telemetry.raw` (a record that cannot be read as a batch counts as one): each is `ingested`,
    one of the `duplicates` (the same event was let through from another place), `dead_lettered` or lost. `lost` are those that are none of
    these, plus ids of the acknowledgement file that are not on `telemetry.raw`; `dead_letters` counts letters, those of other topics too
    (one letter can hold a record of many events; of duplicates there is a letter now and then only);
    `unreadable` are records of our own topics that keep no contract: somebody else wrote them;
    `double` are event ids that were let through twice; `repeats` are records that came again after a crash and are folded by origin.
    """

    acknowledged: int
    ingested: int
    dead_lettered: int
    dead_letters: dict[str, int]
    duplicates: int
    repeats: int
    lost: int
    lost_examples: list[str]
    double: int
    double_examples: list[str]
    counters_checked: int
    counters_wrong: list[Wrong]
    entities: int
    users: int
    unreadable: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.lost or self.double or self.counters_wrong)


def _read(value: bytes) -> _LooseBatch:
    """Return the names in a raw record, as far as ingest can read it."""
    try:
        return msgspec.json.decode(value, type=_LooseBatch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pieces = take_apart(value)
    if pieces is None:
        return _LooseBatch()
    return _LooseBatch(_named(pieces.fields.get("user_id", b""), object), [_named(one, _LooseEvent) for one in pieces.events])


def _named(piece: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(piece, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _LooseEvent()


class Verifier:
    """Reads the topics once, goes on where it stopped when asked again.

    Parameters
    ----------
    settings : Settings
        Where the broker and the store are.
    """

    def __init__(self, settings: Settings, store: Redis) -> None:
        self._store = store
        self._raw_topic = settings.topic_prefix + RAW
        self._reader = TopicReader(settings, [RAW, EVENTS, LETTERS, ENTITIES])
        self._recount = Recount()
        self._raw: dict[Place, tuple[str, str]] = {}
        self._events: dict[Place, str] = {}
        self._letters: set[Place] = set()
        self._reasons: dict[str, str] = {}
        self._first_seen: dict[tuple[str, str], Place] = {}
        self._doubled: list[str] = []
        self._repeats = 0
        self._unreadable = 0
        self._tags: dict[str, set[str]] = {}
        self._entities: dict[str, EntityCounters] = {}

    def advance(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read to the ends of the topics as they are now."""
        for topic, message in self._reader.advance(on_progress):
            value = message.value()
            if topic == RAW:
                self.take_raw(int(message.partition() or 0), int(message.offset() or 0), value or b"")
            elif value is None:
                continue
            else:
                try:
                    self._take_ours(topic, message)
                except ContractError:
                    self._unreadable += 1

    def _take_ours(self, topic: str, message: Message) -> None:
        if topic == EVENTS:
            self.take_event(decoded(Event, message))
        elif topic == LETTERS:
            self.take_letter(decoded(DeadLetter, message))
        else:
            self.take_entity(decoded(EntityCounters, message))

    def take_raw(self, partition: int, offset: int, value: bytes) -> None:
        """Take in what a producer was acknowledged."""
        batch = _read(value)
        if not batch.events:
            self._raw[partition, offset, _WHOLE_RECORD] = ("", "")
        user_id = batch.user_id if isinstance(batch.user_id, str) else ""
        for index, event in enumerate(batch.events):
            self._raw[partition, offset, index] = (user_id, event.event_id if isinstance(event.event_id, str) else "")

    def take_event(self, event: Event) -> None:
        """Take in what ingest let through."""
        place = (event.origin.partition, event.origin.offset, event.origin.index)
        if place in self._events:
            self._repeats += 1
            return
        self._events[place] = event.event_id
        identity = (event.user_id, event.event_id)
        if identity in self._first_seen:
            self._doubled.append(f"{event.event_id} of user {event.user_id} at {self._first_seen[identity]} and {place}")
        self._first_seen.setdefault(identity, place)
        self._tags.setdefault(event.user_id, set()).update(tags_of(event))
        self._recount.add(event)

    def take_letter(self, letter: DeadLetter) -> None:
        """Take in what was set aside."""
        if letter.letter_id in self._reasons:
            self._repeats += 1
        self._reasons[letter.letter_id] = letter.reason.value
        if letter.topic == self._raw_topic:
            self._letters.add((letter.partition, letter.offset, letter.event_index))

    def take_entity(self, entity: EntityCounters) -> None:
        """Take in the counters of a video, creator or tag; the last ones stand."""
        self._entities[f"{entity.kind}:{entity.id}"] = entity

    def verify(self, acknowledged_ids: Iterable[str] | None = None) -> Verification:
        """Compare what was read so far with itself and with the store."""
        absent = {place: identity for place, identity in self._raw.items() if place not in self._events}
        set_aside = {place for place in absent if self._set_aside(place)}
        duplicates = {place for place, identity in absent.items() if identity in self._first_seen}
        lost = [f"{RAW}/{p}/{o}/{i}" for p, o, i in absent if (p, o, i) not in set_aside and (p, o, i) not in duplicates]
        if acknowledged_ids is not None:
            lost += sorted(set(acknowledged_ids) - {event_id for _, event_id in self._raw.values()})
        checked, wrong = self._check_counters()
        reasons: dict[str, int] = {}
        for reason in self._reasons.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        return Verification(
            acknowledged=len(self._raw),
            ingested=len(self._events),
            dead_lettered=len(set_aside - duplicates),
            dead_letters=reasons,
            duplicates=len(duplicates),
            repeats=self._repeats,
            lost=len(lost),
            lost_examples=lost[:20],
            double=len(self._doubled),
            double_examples=self._doubled[:20],
            counters_checked=checked,
            counters_wrong=wrong,
            entities=len(self._entities),
            users=len(self._tags),
        )

    def _set_aside(self, place: Place) -> bool:
        return place in self._letters or (place[0], place[1], _WHOLE_RECORD) in self._letters

    def _check_counters(self) -> tuple[int, list[Wrong]]:
        wrong: list[Wrong] = []
        checked = 0
        names = (name for name in self._recount.counts if not name.startswith("user:"))
        for name in self._entities.keys() | set(names):
            entity = self._entities.get(name)
            totals, panes = ([0] * len(self._recount.counts[name].totals), []) if entity is None else (entity.totals, entity.panes)
            wrong += self._recount.compare(name, totals, panes)
            checked += len(totals) * (1 + len(panes))
        users = iter(sorted(self._tags))
        while chunk := list(islice(users, _USERS_A_CALL)):
            rows = cast("list[bytes | None]", self._store.mget([keys.user_state(user_id) for user_id in chunk]))
            for user_id, row in zip(chunk, rows, strict=True):
                more, n = self._check_user(user_id, row)
                wrong += more
                checked += n
        return checked, wrong

    def _check_user(self, user_id: str, row: bytes | None) -> tuple[list[Wrong], int]:
        name = f"user:{user_id}"
        count = self._recount.counts.get(name)
        if row is None:
            return ([] if count is None else [*self._recount.compare(name, [0] * len(count.totals), [])]), 0
        state = unpack(UserState, row[keys.VERSION_BYTES :])
        wrong = [*self._recount.compare(name, state.totals, state.panes)]
        checked = len(state.totals) * (1 + len(state.panes))
        tags = self._tags[user_id] | state.tags.keys()
        # Of people with more tags than are kept none is compared: old ones made way.
        for tag in sorted(tags) if len(tags) <= TAGS_KEPT else ():
            interest = state.tags.get(tag)
            totals, panes = ([0] * len(state.totals), []) if interest is None else (interest.totals, interest.panes)
            wrong += self._recount.compare(f"{name}/tag:{tag}", totals, panes)
            checked += len(totals) * (1 + len(panes))
        return wrong, checked

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()


def verify_until_settled(
    verifier: Verifier,
    *,
    wait: float,
    acknowledged_ids: Iterable[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Recount until all is right or `wait` seconds have passed: the stream may still be working on what was produced last."""
    ids = None if acknowledged_ids is None else list(acknowledged_ids)
    deadline = time.monotonic() + wait
    while True:
        verifier.advance(on_progress)
        found = verifier.verify(ids)
        if found.ok or time.monotonic() >= deadline:
            return found
        time.sleep(1.0)
