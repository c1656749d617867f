"""Records that somebody wrote straight onto our own topics: damaged ones, and ones that fit their contract and mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from schemas.base import Message
from schemas.codec import DecodeError, decode
from schemas.registry import MESSAGES
from schemas.topics import load_topics
from tests.chaos.fuzz.pieces import garble

RECOUNTED = {"telemetry.events", "features.items"}
"""Topics that `penstock verify` believes: only what fits no contract is put onto them, all else would be counted as it says."""
TOPICS = tuple(
    name
    for name, spec in load_topics().items()
    if spec.cleanup == "compact"
    and name not in {"catalog.items", "users.records"}
    or name in {"telemetry.events", "feed.served", "learning.examples"}
)

_INTEGERS = (0, 1, -1, 7, 64, 1_000, 2**31, 2**53, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e6, 1e300, -1e300)
_TEXTS = (
    "",
    "feed",
    "items",
    "online",
    "global",
    "region:DE",
    "category:cat1",
    "video:v1",
    "creator:c1",
    "../../../x",
    "a\nb",
    "a\0b",
    "x" * 300,
)


class SideRecord(NamedTuple):
    """A record of one of our own topics."""

    topic: str
    key: bytes
    value: bytes | None


class SideRecords:
    """Makes records of all compacted topics but the two that clients write, and of three that parts write for each other.

    Parameters
    ----------
    rng
        Draws everything.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def __call__(self) -> SideRecord:
        """Return the next record: a third damaged, a tenth tombstones of what never was, the others right and senseless."""
        rng = self.rng
        topic = rng.choice(TOPICS)
        kind = MESSAGES[load_topics()[topic].schema]
        key = rng.choice(
            (b"\xff\xfe", b"feed", b"items", b"online", b"global", b"region:DE", b"video:none", b"v%d" % rng.randrange(2_500), b"a\nb")
        )
        if rng.random() < 0.1:
            return SideRecord(topic, b"video:never-%d" % rng.randrange(1_000), None)
        value = msgspec.json.encode(self._message(kind))
        if rng.random() < 0.3 or topic in RECOUNTED:
            damaged = garble(value, rng)
            value = b"{" if damaged is None or topic in RECOUNTED and _fits(kind, damaged) else damaged
        return SideRecord(topic, key, value)

    def _message(self, kind: type[Message]) -> dict[str, Any]:
        """Return a message by its contract, every value of it drawn by itself."""
        return {field.encode_name: self._value(field.type) for field in _fields(kind) if field.required or self.rng.random() < 0.5}

    def _value(self, info: inspect.Type) -> Any:
        return _DRAWN[type(info)](self, info)

    def integer(self, info: inspect.IntType) -> int:
        """Return a whole number within its bounds."""
        found = self.rng.choice((*_INTEGERS, self.rng.randrange(2_000_000_000_000)))
        return min(max(found, found if info.ge is None else info.ge), found if info.le is None else info.le)

    def text(self, info: inspect.StrType) -> str:
        """Return a text, the id of a video as often as not."""
        found = self.rng.choice(_TEXTS) if self.rng.random() < 0.5 else f"v{self.rng.randrange(2_500)}"
        return found[: info.max_length] or "x" * (info.min_length or 0)

    def several(self, info: inspect.ListType | inspect.VarTupleType) -> list[Any]:
        """Return a list of some entries."""
        return [self._value(info.item_type) for _ in range(max(self.rng.choice((0, 1, 2, 14)), info.min_length or 0))]

    def mapping(self, info: inspect.DictType) -> dict[str, Any]:
        """Return a map of some entries."""
        return {str(self._value(info.key_type)): self._value(info.value_type) for _ in range(self.rng.randrange(3))}

    def struct(self, info: inspect.StructType) -> Any:
        """Return an object, or a list where it is written as one."""
        values = {field.encode_name: self._value(field.type) for field in info.fields}
        return list(values.values()) if info.array_like else values


_DRAWN: dict[type[inspect.Type], Callable[[SideRecords, Any], Any]] = {
    inspect.IntType: SideRecords.integer,
    inspect.StrType: SideRecords.text,
    inspect.ListType: SideRecords.several,
    inspect.VarTupleType: SideRecords.several,
    inspect.DictType: SideRecords.mapping,
    inspect.StructType: SideRecords.struct,
    inspect.NoneType: lambda _, __: None,
    inspect.BoolType: lambda made, _: made.rng.random() < 0.5,
    inspect.FloatType: lambda made, _: made.rng.choice(_FLOATS),
    inspect.BytesType: lambda made, _: made.rng.randbytes(made.rng.choice((0, 1, 4, 64, 97, 256))),
    inspect.LiteralType: lambda made, info: made.rng.choice(info.values),
    inspect.EnumType: lambda made, info: made.rng.choice(list(info.cls)).value,
    inspect.Metadata: lambda made, info: made._value(info.type),
    inspect.UnionType: lambda made, info: made._value(made.rng.choice(info.types)),
}


@cache
def _fields(kind: type[Message]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _fits(kind: type[Message], value: bytes) -> bool:
    try:
        decode(kind, value)
    except DecodeError:
        return False
    return True
