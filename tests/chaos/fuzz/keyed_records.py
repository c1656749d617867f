"""Records that stand under a key, of the catalogue and of people: right ones, ones at every bound, and wrong ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from random import Random
from typing import NamedTuple

from schemas.catalog import MAX_DESCRIPTION, MAX_FIELD_NAME, MAX_FIELD_TEXT, MAX_FIELDS, MAX_TAG, MAX_TAGS, MAX_TITLE, MAX_URL
from schemas.users import MAX_ANSWERS
from tests.chaos.fuzz.pieces import NO_OBJECTS, Clock, Fields, Way, garble, number, spoil, text, word, written

LARGEST = 1_000_000
"""Bytes of a record that the broker still takes."""
_BAD_KEYS = (b"\xff\xfe", b"a\nb", b"a\0b", b"x" * 129, b"somebody-else", b" v1", b"V1", b"\xed\xa0\xbd")


class KeyedRecord(NamedTuple):
    """A record of a compacted topic; a null value deletes."""

    key: bytes
    value: bytes | None


class KeyedRecords(ABC):
    """Makes records of one topic: half of them right, some tombstones, some under another key than their id.

    Parameters
    ----------
    rng
        Draws everything.
    clock
        The present.
    n
        Ids are a prefix and a number below n.
    """

    field: bytes
    prefix: bytes

    def __init__(self, rng: Random, clock: Clock, *, n: int) -> None:
        self.rng = rng
        self.clock = clock
        self.n = n

    def __call__(self) -> KeyedRecord:
        """Return the next record."""
        rng = self.rng
        key = name = b"%b%d" % (self.prefix, rng.randrange(self.n))
        draw = rng.random()
        if rng.random() < 0.03:
            key = rng.choice(_BAD_KEYS)
        if draw < 0.06:
            return KeyedRecord(key, None)
        fields = {self.field: b'"%b"' % name, **self.right()}
        odd = draw < 0.5
        if odd:
            spoil(fields, rng, self.ways(), (self.field,))
            key = _key_of(fields.get(self.field, b""), key)
        value = written(fields, rng, odd=odd and draw < 0.2)
        return KeyedRecord(key, garble(value, rng) if draw < 0.09 else value)

    @abstractmethod
    def right(self) -> Fields:
        """Return the fields of a right record, without its id."""

    @abstractmethod
    def ways(self) -> dict[bytes, Way]:
        """Return what else may stand in each field."""


class CatalogRecords(KeyedRecords):
    """Makes records of `catalog.items`."""

    field = b"video_id"
    prefix = b"v"

    def right(self) -> Fields:
        """Return the fields of a right record."""
        rng = self.rng
        category = b"cat%d" % rng.randrange(12)
        fields: Fields = {
            b"creator_id": b'"c%d"' % rng.randrange(200),
            b"title": b'"%b %b"' % (word(rng), word(rng)),
            b"tags": b'["%b","t%d"]' % (category, rng.randrange(100)),
            b"category": b'"%b"' % category,
            b"duration_ms": b"%d" % rng.randrange(5_000, 60_000),
        }
        if rng.random() < 0.3:
            fields |= {
                b"language": rng.choice((b'"en"', b'"en-US"', b'"DE"', b'""')),
                b"region": rng.choice((b'"us"', b'"DE-BE"', b"null")),
            }
        if rng.random() < 0.3:
            fields |= {
                b"uploaded_ms": b"%d" % (self.clock.now_ms - rng.randrange(10**9)),
                b"fields": b'{"price":%d,"new":true}' % rng.randrange(9),
            }
        return fields

    def ways(self) -> dict[bytes, Way]:
        """Return what else may stand in each field."""
        names = (b"video_id", b"creator_id", b"category", b"audio_id", b"language", b"region")
        bounds = {
            b"title": MAX_TITLE,
            b"description": MAX_DESCRIPTION,
            b"video_url": MAX_URL,
            b"thumbnail_url": MAX_URL,
            b"prefetch_url": MAX_URL,
        }
        return {
            **{name: partial(text, bound=128) for name in names},
            **{name: partial(_long, bound=bound) for name, bound in bounds.items()},
            b"tags": _tags,
            b"fields": _free_fields,
            b"duration_ms": number,
            b"age_rating": number,
            b"uploaded_ms": self.clock.time,
            b"expires_ms": self.clock.time,
            b"source": lambda rng: rng.choice((b'"client"', b'"derived"', b'"other"', b"null")),
        }


class UserRecords(KeyedRecords):
    """Makes records of `users.records`."""

    field = b"user_id"
    prefix = b"u"

    def right(self) -> Fields:
        """Return the fields of a right record."""
        rng = self.rng
        fields: Fields = {b"region": rng.choice((b'"DE"', b'"us"', b"null")), b"language": rng.choice((b'"en-GB"', b'"de"', b'""'))}
        fields |= rng.choice(({b"birth_year": b"%d" % rng.randrange(1930, 2020)}, {b"age": b"%d" % rng.randrange(100)}, {}))
        if rng.random() < 0.3:
            fields |= {b"quiz": b'["cat%d","t1"]' % rng.randrange(12), b"created_ms": b"%d" % self.clock.now_ms, b"guest": b"true"}
        return fields

    def ways(self) -> dict[bytes, Way]:
        """Return what else may stand in each field."""
        names = (b"user_id", b"region", b"language", b"device_type", b"merged_into")
        return {
            **{name: partial(text, bound=128) for name in names},
            b"birth_year": number,
            b"age": number,
            b"created_ms": self.clock.time,
            b"updated_ms": self.clock.time,
            b"quiz": lambda rng: _texts(rng, MAX_ANSWERS, 128),
            b"guest": lambda rng: rng.choice((b"true", b"false", b"null", b"0", b'"yes"')),
        }


def _key_of(written_id: bytes, otherwise: bytes) -> bytes:
    """Return an odd id as its record's key, so that the record is not refused for its key alone."""
    return written_id[1:-1] if written_id.startswith(b'"') and 2 < len(written_id) < 2_000 else otherwise


def _long(rng: Random, bound: int) -> bytes:
    """Return a text about its bound; now and then one of many kilobytes, or nearly as large as a record may be."""
    draw = rng.random()
    if draw < 0.003:
        return b'"' + b"x" * rng.choice((12_000, 60_000, LARGEST - 10_000)) + b'"'
    return text(rng, bound)


def _texts(rng: Random, most: int, bound: int) -> bytes:
    """Return a list about as long as it may be, or what is no list."""
    if rng.random() < 0.2:
        return rng.choice((*NO_OBJECTS, b'"a,b,c"', b"[null]", b"[1]", b'["a",7]', b'["a",["b"]]', b'["","a","a"," a "]'))
    n = rng.choice((0, 1, most - 1, most, most + 1))
    if rng.random() < 0.3:
        return b"[" + b",".join(text(rng, bound) for _ in range(rng.randrange(4))) + b"]"
    return b"[" + b",".join(b'"w%d"' % (number + rng.randrange(2)) for number in range(n)) + b"]"


def _tags(rng: Random) -> bytes:
    """Return tags; now and then so many that the record is as large as the broker takes."""
    if rng.random() < 0.001:
        return b"[" + b",".join(b'"w%d"' % number for number in range(rng.choice((2_000, 20_000, LARGEST // 10)))) + b"]"
    return _texts(rng, MAX_TAGS, MAX_TAG)


def _free_fields(rng: Random) -> bytes:
    """Return free fields: about as many as there may be, of long names, and of values of every type."""
    if rng.random() < 0.2:
        return rng.choice(NO_OBJECTS)
    if rng.random() < 0.3:
        return b'{"%b":%b}' % (b"n" * (MAX_FIELD_NAME + rng.randrange(-1, 2)), text(rng, MAX_FIELD_TEXT))
    if rng.random() < 0.5:
        return b'{"n":%b}' % number(rng)
    return (
        b"{"
        + b",".join(b'"n%d":%b' % (n, rng.choice((b"1", b"0.5", b"true", b'"a"'))) for n in range(MAX_FIELDS + rng.randrange(-1, 2)))
        + b"}"
    )
