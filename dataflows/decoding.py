"""Decodes the records of a batch, and counts those that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from dataflows.kafka import Batch
from dataflows.part import Count
from schemas.codec import DecodeError, decode

M = TypeVar("M")


def decode_batch(kind: type[M], batch: Batch, count: Count) -> list[M]:
    """Return what a batch holds, order kept: all is counted as `records`, what is left out as `undecodable`.

    Examples
    --------
    >>> from collections import Counter
    >>> from confluent_kafka import Message
    >>> counts = Counter()
    >>> decode_batch(int, Batch([Message(value=b"1"), Message(value=b"x"), Message()]), lambda what, n: counts.update({what: n}))
    [1]
    >>> counts
    Counter({'records': 3, 'undecodable': 2})
    """
    count("records", len(batch))
    return decode_values(kind, batch.values(), count)


def decode_values(kind: type[M], values: Iterable[bytes | None], count: Count) -> list[M]:
    """Return what values hold, order kept; those that do not fit are counted as `undecodable`."""
    return [one for value in values if (one := decode_or_count(kind, value, count)) is not None]


def decode_or_count(kind: type[M], value: bytes | None, count: Count) -> M | None:
    """Return what a value holds, or None where it does not fit, which is counted as `undecodable`."""
    try:
        return decode(kind, value or b"")
    except DecodeError:
        count("undecodable", 1)
        return None
