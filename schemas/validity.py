"""Decides which records are valid, once for all of their readers, and cuts what is longer than its bound."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from schemas.base import Message
from schemas.catalog import (
    MAX_DESCRIPTION,
    MAX_FIELD_NAME,
    MAX_FIELD_TEXT,
    MAX_FIELDS,
    MAX_TAG,
    MAX_TAGS,
    MAX_TITLE,
    MAX_URL,
    CatalogItem,
    FieldValue,
)
from schemas.codec import DecodeError, decode
from schemas.dlq import ReasonCode
from schemas.features import Neighbours, TrendingList
from schemas.locale import language_of, region_of
from schemas.telemetry import MAX_ID, is_one_line
from schemas.users import UserRecord

M = TypeVar("M", bound=Message)

EARLIEST_MS = 631_152_000_000
"""1990-01-01: nothing that is uploaded, registered or watched is older; what says so was written in another unit."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01."""

_UNITS = (("seconds", 1_000), ("milliseconds", 1), ("microseconds", 0.001), ("nanoseconds", 0.000_001))
_URLS = ("video_url", "thumbnail_url", "prefetch_url")


class ValidItem(NamedTuple):
    """A catalogue record in canonical form, and the names of the fields that were cut or left out."""

    item: CatalogItem
    cut: tuple[str, ...]


def key_id(key: bytes | None) -> str:
    """Return the id that a record is keyed by.

    Raises
    ------
    DecodeError
        If it is no id: missing, not UTF-8, longer than 128 characters, or with control characters.
    """
    name = key_text(key)
    if not 0 < len(name) <= MAX_ID or not is_one_line(name):
        expected = f"a key of 1 to {MAX_ID} characters, none of them a control character"
        raise DecodeError(ReasonCode.WRONG_TYPE, expected=expected, got=repr(name)[:80], path="key")
    return name


def key_text(key: bytes | None) -> str:
    """Return a key as text.

    Raises
    ------
    DecodeError
        If it is not UTF-8.
    """
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        raise DecodeError(ReasonCode.MALFORMED, expected="a key in UTF-8", got=repr(key)[:80], path="key") from None


def keyed(kind: type[M], field: str, key: bytes | None, value: bytes) -> M:
    """Decode a record that is keyed by one of its fields (or by its property `key`).

    Raises
    ------
    DecodeError
        If it does not fit its contract, or stands under another key than its id.
    """
    message = decode(kind, value)
    name = getattr(message, field)
    if (key or b"") != name.encode():
        raise DecodeError(ReasonCode.WRONG_TYPE, expected=f"the key {name!r}", got=repr(key_id(key)), path="key")
    return message


def catalog_item(key: bytes | None, value: bytes) -> ValidItem:
    """Return a catalogue record as every reader takes it: canonical language and region, nothing longer than its bound.

    Cut: title, description, tags (64 kept, each once), texts of free fields. Left out: URLs, free fields and tags that are too long,
    and tags with control characters.

    Raises
    ------
    DecodeError
        If the record is not valid.

    Examples
    --------
    >>> item, cut = catalog_item(b"v", b'{"video_id": "v", "tags": ["a", "a"], "language": "en-US", "title": "' + b"x" * 600 + b'"}')
    >>> item.tags, item.language, len(item.title), cut
    (('a',), 'en', 512, ('title',))
    """
    item = keyed(CatalogItem, "video_id", key, value)
    for path in ("uploaded_ms", "expires_ms"):
        at_ms = getattr(item, path)
        if at_ms is not None:
            plausible(at_ms, path=f"$.{path}")
    tags = _tags(item.tags)
    fields = _fields(item.fields)
    changes: dict[str, Any] = {
        "title": item.title[:MAX_TITLE],
        "description": item.description[:MAX_DESCRIPTION],
        "tags": tags,
        "fields": fields,
        "creator_id": item.creator_id or None,
        "category": item.category or None,
        "audio_id": item.audio_id or None,
        "language": language_of(item.language),
        "region": region_of(item.region),
        **{name: url if url is None or len(url) <= MAX_URL else None for name in _URLS for url in [getattr(item, name)]},
    }
    cut = [name for name in ("title", "description", *_URLS) if changes[name] != getattr(item, name)]
    if set(tags) != set(filter(None, item.tags)):
        cut.append("tags")
    if fields != item.fields:
        cut.append("fields")
    return ValidItem(msgspec.structs.replace(item, **changes), tuple(cut))


def trending_list(key: bytes | None, value: bytes) -> TrendingList:
    """Return a scope's list of trending videos.

    Raises
    ------
    DecodeError
        If the record is not valid.
    """
    message = keyed(TrendingList, "scope", key, value)
    _same_length(message.video_ids, message.scores, "$.scores")
    return message


def neighbours(key: bytes | None, value: bytes) -> Neighbours:
    """Return a video's neighbours.

    Raises
    ------
    DecodeError
        If the record is not valid.
    """
    message = keyed(Neighbours, "video_id", key, value)
    _same_length(message.video_ids, message.weights, "$.weights")
    return message


def user_record(key: bytes | None, value: bytes) -> UserRecord:
    """Return a user's record in canonical form.

    Raises
    ------
    DecodeError
        If the record is not valid.
    """
    record = keyed(UserRecord, "user_id", key, value)
    for path in ("created_ms", "updated_ms"):
        at_ms = getattr(record, path)
        if at_ms is not None:
            plausible(at_ms, path=f"$.{path}")
    return msgspec.structs.replace(
        record,
        region=region_of(record.region),
        language=language_of(record.language),
        device_type=record.device_type or None,
        quiz=tuple(dict.fromkeys(filter(None, record.quiz))),
    )


def plausible(at_ms: int, *, path: str, earliest_ms: int = EARLIEST_MS) -> None:
    """Check that an instant is one in milliseconds.

    Raises
    ------
    DecodeError
        If it is before `earliest_ms` or after the year 2100; the unit that it seems to be in is named.

    Examples
    --------
    >>> try:
    ...     plausible(1_700_000_000, path="$.timestamp")
    ... except DecodeError as error:
    ...     error.got
    '1700000000, which looks like seconds'
    """
    if earliest_ms <= at_ms <= LATEST_MS:
        return
    least = max(earliest_ms, EARLIEST_MS)
    looks = next((f", which looks like {unit}" for unit, scale in _UNITS if least <= at_ms * scale <= LATEST_MS), "")
    bound = f"at least {dated(earliest_ms)}" if at_ms < earliest_ms else f"at most {dated(LATEST_MS)}"
    raise DecodeError(ReasonCode.IMPLAUSIBLE_TIME, expected=f"epoch milliseconds of {bound}", got=f"{at_ms}{looks}", path=path)


def dated(at_ms: int) -> str:
    """Return an instant as a number and as a date; one that no calendar has is a number only.

    >>> dated(1_700_000_000_999), dated(2**62)
    ('1700000000999 (2023-11-14T22:13:20Z)', '4611686018427387904')
    """
    try:
        return f"{at_ms} ({datetime.fromtimestamp(at_ms // 1_000, UTC):%Y-%m-%dT%H:%M:%SZ})"
    except (ValueError, OverflowError, OSError):
        return str(at_ms)


def _same_length(ids: list[str], numbers: list[float], path: str) -> None:
    if len(ids) != len(numbers):
        raise DecodeError(ReasonCode.WRONG_TYPE, expected=f"{len(ids)} numbers, one a video", got=str(len(numbers)), path=path)


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    kept: dict[str, None] = {}
    for tag in tags:
        if 0 < len(tag) <= MAX_TAG and is_one_line(tag):
            kept[tag] = None
            if len(kept) == MAX_TAGS:
                break
    return tuple(kept)


def _fields(fields: dict[str, FieldValue]) -> dict[str, FieldValue]:
    kept: dict[str, FieldValue] = {}
    for name, value in fields.items():
        if len(kept) == MAX_FIELDS:
            break
        if len(name) <= MAX_FIELD_NAME and not (isinstance(value, int) and abs(value) >= 2**63):
            kept[name] = value[:MAX_FIELD_TEXT] if isinstance(value, str) else value
    return kept
