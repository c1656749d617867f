"""Says in words what a decoder expected, what it got instead, and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

MAX_GOT = 80
BOM = b"\xef\xbb\xbf"

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "bytes": "base64",
    "null": "null",
}
ANY_ENTRY = "[...]"
_PATH = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_BOUND = re.compile(r"(?: of length)? (<=|>=|<|>) (-?[\d.e+]+)$")
_HALF_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_SIDES = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_MISSING = object()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Explained(NamedTuple):
    """What was expected, the value that stood there instead (cut to MAX_GOT characters), and its JSON path."""

    expected: str
    got: str
    path: str


def wrong_type(kind: type, error: msgspec.ValidationError, data: bytes, read: Callable[[bytes], Any]) -> Explained:
    """Explain well-formed data of another shape.

    Parameters
    ----------
    kind
        The message that was expected.
    error
        What msgspec says.
    data, read
        The bytes, and what reads them without a contract.

    Examples
    --------
    >>> class Ask(msgspec.Struct):
    ...     limit: int
    >>> try:
    ...     msgspec.json.decode(b'{"limit": "x"}', type=Ask)
    ... except msgspec.ValidationError as error:
    ...     wrong_type(Ask, error, b'{"limit": "x"}', msgspec.json.decode)
    Explained(expected='a whole number', got='"x"', path='$.limit')
    """
    detail, _, where = str(error).partition(" - at `")
    path = where.split("`")[0]
    path = path if path.startswith("$") else "$"
    missing = re.fullmatch(r"Object missing required field `(.+)`", detail)
    if missing:
        return Explained(f"the field {missing[1]}", "nothing", f"{path}.{missing[1]}")
    expected, _, got = detail.removeprefix("Expected ").replace("of at least length", "of length >=").partition(", got ")
    value, named = _value_at(data, path, read), path
    if value is _MISSING and path.endswith(ANY_ENTRY):
        value, named = _entry(kind, error, data, path, read)
    if value is not _MISSING:
        got = _shown(value)
    if detail.endswith("out of range"):
        return Explained("a number that fits 64 bits", got or "a larger one", named)
    if detail.startswith("Invalid enum value"):
        return Explained(_allowed(kind, path), got, named)
    return Explained(_in_words(expected), got.strip("`") or "another value", named)


def malformed(data: bytes, detail: str) -> Explained:
    r"""Explain bytes that are no JSON.

    >>> malformed(b'{"a": "\\ud83d"}', "...").got
    'half of a surrogate pair, \\ud83d'
    """
    if data.startswith(BOM):
        return Explained("JSON in UTF-8 without a byte order mark", "a byte order mark", "$")
    half = _HALF_PAIR.search(data)
    if half is not None:
        return Explained("JSON whose \\u escapes come in whole pairs", f"half of a surrogate pair, {half[0][-6:].decode()}", "$")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return Explained("JSON in UTF-8", f"the byte {data[error.start]:#04x} at {error.start}, which is no UTF-8", "$")
    if not data.strip():
        return Explained("JSON", "nothing", "$")
    return Explained("JSON", detail if detail.startswith("JSON") else detail[0].lower() + detail[1:], "$")


def _in_words(expected: str) -> str:
    if "matching regex" in expected:
        return "a text without control characters"
    bound = _BOUND.search(expected)
    names = expected[: bound.start()] if bound else expected
    words = " or ".join(_WORDS.get(name, name) for name in names.strip("`").split(" | ") if name != "null" or "|" not in names)
    if bound is None:
        return words
    unit = "" if "length" not in bound[0] else " characters" if "text" in words else " entries"
    return f"{words} of {_SIDES[bound[1]]} {bound[2]}{unit}"


def _value_at(data: bytes, path: str, read: Callable[[bytes], Any]) -> Any:
    try:
        return _inside(read(data), path)
    except _UNREADABLE:
        return _MISSING


def _inside(value: Any, path: str) -> Any:
    """Return what stands at a path below a value."""
    for name, index in _PATH.findall(path):
        if not name and not index:
            return _MISSING
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _entry(kind: type, error: msgspec.ValidationError, data: bytes, path: str, read: Callable[[bytes], Any]) -> tuple[Any, str]:
    """Return the first entry of a map that the decoder refused, and its path: msgspec says only in which map it stands.

    The map is halved until one entry is left, so all tries together cost what a few readings of it do.
    """
    where = path.removesuffix(ANY_ENTRY)
    parent, _, name = where.rpartition(".")
    try:
        whole = read(data)
    except _UNREADABLE:  # the decoder had not come to what is wrong there
        return _MISSING, path
    above = _inside(whole, parent)
    if not isinstance(above, dict) or not isinstance(above.get(name), dict):
        return _MISSING, path
    left = list(above[name].items())
    while len(left) > 1:
        half = left[: len(left) // 2]
        above[name] = dict(half)
        left = half if _refused(kind, whole, error) else left[len(half) :]
    above[name] = dict(left)
    if not left or not _refused(kind, whole, error):
        return _MISSING, path
    [(key, value)] = left
    return value, f"{where}[{_shown(key)}]"


def _refused(kind: type, value: Any, error: msgspec.ValidationError) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as other:
        return str(other) == str(error)
    except RecursionError:
        return False
    return False


def _shown(value: Any) -> str:
    if isinstance(value, str):
        value = value[: MAX_GOT + 1]
    elif isinstance(value, list | dict) and len(value) > MAX_GOT:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)} entries"
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, RecursionError, UnicodeEncodeError):
        text = repr(value)
    return text if len(text) <= MAX_GOT else text[:MAX_GOT] + "…"


@lru_cache(maxsize=1_024)
def _allowed(kind: type, path: str) -> str:
    """Return the values of the enum that stands at a path."""
    found = inspect.type_info(kind)
    for name, index in _PATH.findall(path):
        inner = [
            field.type
            for one in _parts(found)
            if isinstance(one, inspect.StructType) and name
            for field in one.fields
            if field.encode_name == name
        ] or [one.item_type for one in _parts(found) if isinstance(one, inspect.ListType | inspect.VarTupleType) and (index or not name)]
        if not inner:
            return "one of the values that the contract names"
        found = inner[0]
    values = [str(value) for one in _parts(found) for value in _values(one)]
    return "one of " + ", ".join(values) if values else "one of the values that the contract names"


def _parts(info: inspect.Type) -> list[inspect.Type]:
    if isinstance(info, inspect.Metadata):
        return _parts(info.type)
    return [part for one in info.types for part in _parts(one)] if isinstance(info, inspect.UnionType) else [info]


def _values(info: inspect.Type) -> list[Any]:
    if isinstance(info, inspect.EnumType):
        return [one.value for one in info.cls]
    return list(info.values) if isinstance(info, inspect.LiteralType) else []
