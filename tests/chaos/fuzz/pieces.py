"""Pieces of JSON that somebody somewhere sends: right ones, ones at the edge of a bound, and wrong ones, not told apart."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

NESTED = b"[" * 3_000 + b"]" * 3_000

NO_TEXTS = (
    *(b"null", b"true", b"7", b"-1", b"[]", b"{}", b'["a"]', b'{"a":1}', b"NaN", b"Infinity"),
    *(b'"\\ud83d"', b'"x\\udc00\\ud83d"', b'"\xff\xfe"', b'"\xc3"', b'"\xed\xa0\xbd"', b'"a\x01b"', b'"a\nb"', b'"\\x41"'),
    *(b'"a\\u0000b"', b'"a\\nb"', b'"a\\u007f"', b'"\\u001b[2J"', b'""', NESTED),
)
ODD_TEXTS = (
    *(b'" "', b'"a\\tb"', b'"%00"', b'"../../etc/passwd"', b'"a:b/c#d?e"', b'"\\"quoted\\""', b'"\\\\"', b'"null"', b'"007"', b'"NaN"'),
    *('"視頻"'.encode(), '"🎬"'.encode(), b'"\\ud83c\\udfac"', '"e\u0301"'.encode(), '"\u202e"'.encode(), '"İ"'.encode(), b'"\\u0080"'),
    *(b'"{{7*7}}"', b'"\'; drop table users --"', b'"$where"', b'"*"', b'"ann@example.org"', b'"10.0.0.1"'),
)
NUMBERS = (
    *(b"0", b"1", b"-0", b"-0.0", b"-1", b"0.1", b"12.75", b"1e3", b"1E-3", b"1e11", b"1e12", b"1.1e12", b"1e308", b"1e400", b"-1e400"),
    *(b"9" * 30, b"9" * 400, b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809"),
    *(b"01", b"+1", b".5", b"1.", b"0x10", b"1_000", b"NaN", b"-Infinity", b"null", b"true", b"[1]", b'{"n":1}'),
    *(
        b'"1"',
        b'"12.4"',
        b'" 12.4"',
        b'"1,5"',
        b'"1_000"',
        b'"1e3"',
        b'"-0.0"',
        b'"nan"',
        b'"inf"',
        b'""',
        '"١٢"'.encode(),
        b'"' + b"1" * 65 + b'"',
    ),
)
NO_OBJECTS = (b"null", b"[]", b'"{}"', b"7", b"true", b"{}", b'{"a":[[[{}]]]}', b'{"":""}')


class Clock(NamedTuple):
    """The present of a run, epoch milliseconds."""

    now_ms: int

    def time(self, rng: Random) -> bytes:
        """Return an instant as somebody may write it: within the last minutes, at the floor, ahead, and in another unit."""
        now = self.now_ms
        day = 86_400_000
        return rng.choice(
            (
                *(b"%d" % at for at in (now, now - day, now - 400 * day, now + 2 * day, now + 400 * day)),
                *(b"%d" % at for at in (now // 1_000, now * 1_000, now * 1_000_000, 0, 1, -1, 631_152_000_000, 631_151_999_999)),
                *(b"%d" % at for at in (4_102_444_800_000, 4_102_444_800_001, 2**62, 2**62 + 1, 2**63, 10**30)),
                *(b'"%d"' % now, b"%d.0" % now, b"%d.5" % now, b"1.7e12", b'"2026-01-01T00:00:00Z"', b"null", b"NaN", b"true", b"{}"),
            )
        )


def text(rng: Random, bound: int) -> bytes:
    """Return what may stand where a text of at most `bound` characters is wanted."""
    draw = rng.random()
    if draw < 0.4:
        return rng.choice(NO_TEXTS)
    if draw < 0.7:
        return rng.choice(ODD_TEXTS)
    length = bound + rng.choice((-1, 0, 0, 1, 1, bound))
    return b'"' + rng.choice((b"x", "é".encode(), "視".encode(), "🎬".encode())) * length + b'"'


def number(rng: Random) -> bytes:
    """Return what may stand where a number is wanted."""
    return rng.choice(NUMBERS)


def word(rng: Random, n: int = 8) -> bytes:
    """Return some letters."""
    return "".join(rng.choices(string.ascii_lowercase, k=n)).encode()


Way = Callable[[Random], bytes]
Fields = dict[bytes, bytes]
"""The fields of an object as they are written, each name and value as bytes of JSON without the quotes of the name."""


def written(fields: Fields, rng: Random, *, odd: bool = False) -> bytes:
    """Return an object; an odd one may hold a field twice, white space, or a field that nobody knows."""
    parts = [b'"%b":%b' % pair for pair in fields.items()]
    if odd and parts:
        trick = rng.randrange(6)
        if trick == 0:
            parts.append(rng.choice(parts))
        elif trick == 1:
            parts.append(b'"%b":%b' % (rng.choice(list(fields)), rng.choice((b"null", b"[]", b'"twice"', b"1"))))
        elif trick == 2:
            parts.append(b'"x_%b":%b' % (word(rng, 3), rng.choice((*NO_OBJECTS, b'"unknown"', b"1e999"))))
        elif trick == 3:
            rng.shuffle(parts)
            return b" {\r\n\t" + b" , ".join(parts) + b"\n}"
    return b"{" + b",".join(parts) + b"}"


def spoil(fields: Fields, rng: Random, ways: dict[bytes, Way], required: Sequence[bytes]) -> None:
    """Put something else in the place of one or two fields, or leave one out."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        if rng.random() < 0.15:
            fields.pop(rng.choice(required), None)
            continue
        name = rng.choice(list(ways))
        fields[name] = ways[name](rng)


def garble(value: bytes, rng: Random) -> bytes | None:
    """Return a record whose bytes were damaged on the way, or that was never JSON; None is a record without a value."""
    at = rng.randrange(len(value) + 1)
    half = value[:at]
    choices: tuple[Callable[[], bytes | None], ...] = (
        lambda: half,
        lambda: value[at:],
        lambda: b"\xef\xbb\xbf" + value,
        lambda: value + rng.choice((value, b"}", b"\0", b"\n")),
        lambda: half + bytes([rng.randrange(256)]) + value[at + 1 :],
        lambda: half + rng.randbytes(3) + value[at:],
        lambda: b"[" + value + b"]",
        lambda: b'"' + value.replace(b'"', b'\\"') + b'"',
        lambda: value.decode(errors="replace").encode("utf-16"),
        lambda: value.replace(b'"', b"'"),
        lambda: rng.randbytes(rng.choice((1, 20, 300))),
        lambda: rng.choice((b"", b" ", b"null", b"{}", b"[]", b"0", b'""', b"{", b"NaN", NESTED, b"\0" * 64)),
        lambda: None,
    )
    return rng.choice(choices)()
