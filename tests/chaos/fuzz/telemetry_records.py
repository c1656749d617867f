"""Raw telemetry, right and wrong, each record with what must become of each of its events."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import partial
from random import Random
from typing import NamedTuple

import msgspec

from schemas.codec import DecodeError, decode
from schemas.telemetry import MAX_EVENTS, Context, Id, InteractionType, RawEvent
from schemas.validity import plausible
from tests.chaos.fuzz.pieces import NO_OBJECTS, Clock, Fields, Way, garble, number, spoil, text, written

MAX_RECORD = 262_144
MAX_VALUE = 1e12
N_USERS, N_VIDEOS = 3_000, 2_500
KEPT = 500
"""Records that may be sent again."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_KINDS = [kind.value.encode() for kind in InteractionType]


class Fate(StrEnum):
    """What must become of an event, or of a record that is no batch."""

    EVENT = "e"
    LETTER = "l"
    REPEAT = "r"
    EITHER = "?"
    WHOLE = "W"


class RawPayload(NamedTuple):
    """A record of `telemetry.raw`; `fates` has one entry for each event, or one alone for the record as a whole."""

    key: bytes | None
    value: bytes | None
    fates: str


class _Envelope(msgspec.Struct):
    user_id: Id
    device_id: Id | None = None
    context: Context | None = None


class _LooseEvent(RawEvent, frozen=True, kw_only=True):
    """An event but for its context: texts of it that are too long may be left out."""

    context: dict[str, object] | None = None  # type: ignore[assignment]


class RawPayloads:
    """Makes records of `telemetry.raw`; an event id comes again only in records that are sent again whole.

    Parameters
    ----------
    rng
        Draws everything.
    clock
        The present.
    again
        Share of records that repeat an earlier one.
    """

    def __init__(self, rng: Random, clock: Clock, *, again: float = 0.02) -> None:
        self.rng = rng
        self.clock = clock
        self.again = again
        self._number = 0
        self._earlier: list[RawPayload] = []

    def __call__(self) -> RawPayload:
        """Return the next record."""
        rng = self.rng
        if self._earlier and rng.random() < self.again:
            key, value, fates = rng.choice(self._earlier)
            return RawPayload(key, value, fates.replace(Fate.EVENT, Fate.REPEAT))
        draw = rng.random()
        if draw < 0.03:
            return self._garbled()
        made = self._batch(self._size(draw))
        told = Fate.EVENT in made.fates and Fate.EITHER not in made.fates and made.key is not None
        if told and (len(self._earlier) < KEPT or rng.random() < 0.01):
            self._earlier = [*self._earlier[1 - KEPT :], made]
        return made

    def _size(self, draw: float) -> int:
        """Return how many events there are: one as a rule, none now and then, as many as a batch may hold, and one more."""
        if draw > 0.99995:
            return self.rng.choice((MAX_EVENTS, MAX_EVENTS + 1))
        if draw > 0.99:
            return self.rng.choice((0, 10, 50))
        return self.rng.choice((1, 1, 1, 2))

    def _batch(self, n: int) -> RawPayload:
        rng = self.rng
        user = b"u%d" % rng.randrange(N_USERS)
        fields: Fields = {b"user_id": b'"%b"' % user}
        if rng.random() < 0.3:
            fields[b"device_id"] = b'"phone-%d"' % rng.randrange(900)
        if rng.random() < 0.2:
            fields[b"context"] = self._context()
        if rng.random() < 0.04:
            ways: dict[bytes, Way] = {
                b"user_id": partial(text, bound=128),
                b"device_id": partial(text, bound=128),
                b"context": self._odd_context,
            }
            spoil(fields, rng, ways, (b"user_id",))
        fits = _fits(_Envelope, written({name: piece for name, piece in fields.items() if name != b"context"}, rng))
        fits_whole = _fits(_Envelope, written(fields, rng))
        events = [self._event() for _ in range(n)]
        value = written({**fields, b"events": b"[" + b",".join(events) + b"]"}, rng)
        if rng.random() < 0.0001:  # up to the largest record that is read, one byte more, and what the topic takes at most
            value = _padded(value, rng.choice((MAX_RECORD, MAX_RECORD + 1, 1_000_000)))
        if not fits or not 0 < n <= MAX_EVENTS or len(value) > MAX_RECORD:
            return RawPayload(self._key(user), value, Fate.WHOLE)
        fates = "".join(map(self._fate, events)) if fits_whole else Fate.EITHER
        return RawPayload(self._key(user), value, fates)

    def _key(self, user: bytes) -> bytes | None:
        draw = self.rng.random()
        if draw > 0.02:
            return user
        return self.rng.choice((None, b"", b"somebody-else", b"\xff\xfe", b"a\nb"))

    def _event(self) -> bytes:
        rng = self.rng
        self._number += 1
        kind = rng.choice(_KINDS)
        fields: Fields = {
            b"event_id": b'"f%d"' % self._number,
            b"video_id": b'"v%d"' % rng.randrange(N_VIDEOS),
            b"interaction_type": b'"%b"' % kind,
            b"timestamp": b"%d" % (self.clock.now_ms - rng.randrange(600_000)),
        }
        if kind == b"watch_time":
            fields[b"value"] = rng.choice((b"%.2f", b'"%.3f"')) % rng.uniform(0, 60)
        if rng.random() < 0.2:
            fields[b"context"] = self._context()
        odd = rng.random() < 0.3
        if odd:
            ways: dict[bytes, Way] = {
                b"event_id": self._odd_event_id,
                b"video_id": partial(text, bound=128),
                b"interaction_type": lambda r: r.choice((b'"stare"', b'"LIKE"', b"null", b"3", b'""', b'"watch_100"', b'"\\ud83d"')),
                b"timestamp": self.clock.time,
                b"value": number,
                b"completed": lambda r: r.choice((b"true", b"false", b"null", b'"true"', b"1")),
                b"context": self._odd_context,
                b"tracking_token": partial(text, bound=1_024),
                b"source": lambda r: r.choice((b'"client"', b'"upstream"', b'"derived"', b'"other"', b"null")),
            }
            spoil(fields, rng, ways, (b"event_id", b"video_id", b"interaction_type", b"timestamp"))
        if odd and rng.random() < 0.3:
            # A second field of the same name may bring an id that came before; every other trick keeps the ids as they are.
            return written(fields, rng, odd=True).replace(b'"event_id":"twice"', b'"event_id":"f%d+"' % self._number)
        return written(fields, rng)

    def _odd_event_id(self, rng: Random) -> bytes:
        """Return an odd id that did not come before, or what is no id."""
        found = text(rng, 128)
        if not _fits(Id, found):
            return found
        name, mark = msgspec.json.decode(found, type=str), f"~{self._number}"
        return msgspec.json.encode((name if len(name) < 100 else name[: -len(mark)]) + mark)

    def _context(self) -> bytes:
        rng = self.rng
        region, language = rng.choice((b"DE", b"us", b"")), rng.choice((b"en", b"pt_BR"))
        return b'{"surface":"s%d","region":"%b","language":"%b"}' % (rng.randrange(5), region, language)

    def _odd_context(self, rng: Random) -> bytes:
        if rng.random() < 0.3:
            return rng.choice(NO_OBJECTS)
        return b'{"%b":%b}' % (rng.choice((b"surface", b"session_id", b"device", b"region", b"language", b"unknown")), text(rng, 256))

    def _garbled(self) -> RawPayload:
        """Return a record that was damaged on the way: it is accounted for as a whole or event by event, whatever can be made of it."""
        made = self._batch(self.rng.choice((1, 3)))
        return RawPayload(made.key, garble(made.value or b"", self.rng), Fate.EITHER)

    def _fate(self, event: bytes) -> str:
        fits = _fits(RawEvent, event)
        try:
            read = decode(RawEvent if fits else _LooseEvent, event)
            plausible(read.timestamp, path="$.timestamp")
        except DecodeError:
            return Fate.LETTER
        if read.timestamp > self.clock.now_ms + 86_400_000 or not _is_value(read):
            return Fate.LETTER
        return Fate.EVENT if fits else Fate.EITHER


def _padded(value: bytes, size: int) -> bytes:
    """Return a record of this size, with a field more that nobody knows."""
    return value[:-1] + b',"padding":"%b"}' % (b"x" * (size - len(value) - len(',"padding":""')))


def _is_value(event: RawEvent) -> bool:
    value = event.value
    if value is None:
        return event.interaction_type is not InteractionType.WATCH_TIME or event.completed is not None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return False
    return 0 <= float(value) <= MAX_VALUE


def _fits(kind: type | object, value: bytes) -> bool:
    try:
        msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
