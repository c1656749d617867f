"""Takes a batch apart that cannot be decoded as a whole: where its fields and each of its events begin and end."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from schemas.errors import ContractError
from schemas.telemetry import MAX_EVENTS

_TOKEN = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+"?|[\[\]{},:]|[^\s"\[\]{},:]++)', re.DOTALL)
_BEFORE_NEXT = re.compile(rb"\}(?=\s*+,\s*+\{\s*+\")")
_BEFORE_END = re.compile(rb"\}(?=\s*+\])")
_PAIRS = frozenset((b"{}", b"[]"))

MAX_DEPTH = 64
"""Nobody nests an event deeper on purpose; beyond it, it is searched for its end like one that is broken."""


class Pieces(NamedTuple):
    """The bytes of a batch's fields but for its events, by name, and of each of its events."""

    fields: dict[str, bytes]
    events: list[bytes]


class _Unreadable(ContractError):  # noqa: N818  # caught here: such a record is one letter
    """What is around the events cannot be told."""

    def __init__(self) -> None:
        super().__init__(expected="a batch of events", got="text that cannot be taken apart", where="$")


class _Token(NamedTuple):
    start: int
    end: int
    text: bytes

    @property
    def is_text(self) -> bool:
        return self.text.startswith(b'"')

    @property
    def begins(self) -> bool:
        """Whether it begins a value."""
        return self.text[0] not in b",:]}"

    @property
    def ends(self) -> bool:
        """Whether it ends a value."""
        return self.text[0] not in b",:[{"

    @property
    def is_whole(self) -> bool:
        return not self.is_text or len(self.text) > 1 and self.text.endswith(b'"')


def take_apart(value: bytes) -> Pieces | None:
    """Return the pieces of a batch, None where what is around the events cannot be told, or there are more than MAX_EVENTS.

    Brackets outside of texts are counted, so what is in a piece need not be right: NaN, half of a surrogate pair, bytes that are no UTF-8.
    An event in which a quote or a bracket is missing or too many ends where the next one seems to begin, or the list to end. The time is
    linear in the length of `value`.

    Examples
    --------
    >>> take_apart(b'{"user_id": "u", "events": [{"value": NaN}, {"event_id": "e1, "value": 1}, {"event_id": "e2"}]}')
    Pieces(fields={'user_id': b'"u"'}, events=[b'{"value": NaN}', b'{"event_id": "e1, "value": 1}', b'{"event_id": "e2"}'])
    """
    try:
        return _batch(value)
    except _Unreadable:
        return None


def _batch(value: bytes) -> Pieces:
    pieces = Pieces({}, [])
    at = _mark(value, 0, b"{")
    while True:
        key = _token(value, at)
        if not key.is_text:
            raise _Unreadable
        name = _text(key.text)
        at = _mark(value, key.end, b":")
        first = _token(value, at)
        if name == "events" and first.text == b"[":
            pieces.events[:], at = _events(value, first.end)
        else:
            at = _end_of_field(value, at)
            pieces.fields[name] = value[first.start : at]
        after = _token(value, at)
        at = after.end
        if after.text == b"}" and not value[at:].strip():
            return pieces
        if after.text != b",":
            raise _Unreadable


def _events(value: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the events of a list that begins at `at`, and where it has ended."""
    events: list[bytes] = []
    token = _token(value, at)
    if token.text == b"]":
        return events, token.end
    while True:
        start = _token(value, at).start
        end = _end_of_event(value, start)
        events.append(value[start:end])
        if len(events) > MAX_EVENTS:
            raise _Unreadable
        token = _token(value, end)
        at = token.end
        if token.text == b"]":
            return events, at


def _end_of_field(value: bytes, at: int) -> int:
    """Return where a value ends that begins at `at`."""
    opened: list[bytes] = []
    while True:
        token = _token(value, at)
        at = token.end
        if token.text in (b"[", b"{"):
            opened.append(token.text)
        elif token.text in (b"]", b"}") and (not opened or opened.pop() + token.text not in _PAIRS):
            raise _Unreadable
        if len(opened) > MAX_DEPTH:
            raise _Unreadable
        if not opened:
            if token.text in (b",", b":") or not token.is_whole:
                raise _Unreadable
            return at


def _end_of_event(value: bytes, start: int) -> int:
    """Return where an event ends that begins at `start`: a comma or the end of the list follows."""
    opened: list[bytes] = []
    before = _Token(start, start, b",")
    while True:
        token = _token(value, before.end)
        if not opened and token.text in (b",", b"]"):
            return before.end
        if not token.is_whole or len(opened) > MAX_DEPTH:
            return _seek(value, token.start)
        if token.begins and before.ends:
            return _seek(value, before.start if before.is_text else token.start)
        if token.text == b"{" and before.text == b"," and opened[-1:] == [b"{"]:
            return before.start
        if token.text in (b"[", b"{"):
            opened.append(token.text)
        elif token.text in (b"]", b"}") and (not opened or opened.pop() + token.text not in _PAIRS):
            is_last = token.text == b"]" and not opened
            return _seek(value, token.start, otherwise=token.start if is_last else None)
        before = token


def _seek(value: bytes, at: int, otherwise: int | None = None) -> int:
    """Return where an event ends that cannot be read beyond `at`: before what looks like the next one, else like the end of the list.

    Brackets of its own look like the end of a list too, so the last that does is taken.
    """
    found = _BEFORE_NEXT.search(value, at) or max(_BEFORE_END.finditer(value, at), key=re.Match.start, default=None)
    if found is not None:
        return found.start() + 1
    if otherwise is None:
        raise _Unreadable
    return otherwise


def _token(value: bytes, at: int) -> _Token:
    found = _TOKEN.match(value, at)
    if found is None:
        raise _Unreadable
    return _Token(found.start(1), found.end(1), found[1])


def _mark(value: bytes, at: int, mark: bytes) -> int:
    token = _token(value, at)
    if token.text != mark:
        raise _Unreadable
    return token.end


def _text(token: bytes) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _Unreadable from None
