"""Cuts messages that are larger than their topic takes, by a rule for each contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from schemas.base import Message
from schemas.codec import encode
from schemas.dlq import DeadLetter
from schemas.features import EntityCounters, Neighbours, TrendingList
from schemas.feed import CandidateTable, FeedResponse, ReadState, ServedRecord
from schemas.telemetry import Event

M = TypeVar("M", bound=Message)

BEGINNING_BYTES = 1_024
"""How much of a text or record is kept where only its beginning is."""


class Step(NamedTuple):
    """What is given up next: its name, and the message without (all of, or as much as must be of) it under a limit in bytes."""

    name: str
    cut: Callable[[Any, int], Any]


def fit(message: M, limit: int) -> tuple[M, tuple[str, ...]] | None:
    """Return a message of at most `limit` bytes as JSON, and the names of what it lost; None where its contract has no more to give up.

    Examples
    --------
    >>> listed = TrendingList(scope="global", as_of_ms=0, half_life_ms=1, video_ids=["a", "b", "c"], scores=[3.0, 2.0, 1.0])
    >>> shorter, lost = fit(listed, len(encode(listed)) - 5)
    >>> shorter.video_ids, shorter.scores, lost
    (['a', 'b'], [3.0, 2.0], ('video_ids',))
    """
    lost: list[str] = []
    if len(encode(message)) <= limit:
        return message, ()
    for step in RULES.get(type(message), ()):
        shorter = step.cut(message, limit)
        if shorter != message:
            message = shorter
            lost.append(step.name)
            if len(encode(message)) <= limit:
                return message, tuple(lost)
    return None


def fit_response(response: FeedResponse, limit: int) -> tuple[FeedResponse, tuple[str, ...]]:
    """Return an answer of at most `limit` bytes, and the names of what it lost; without items every answer fits."""
    return fit(response, limit) or (replace(response, items=[]), ("items",))


def _empty(name: str, value: object) -> Step:
    return Step(name, lambda message, _: replace(message, **{name: value}))


def _shorter(*names: str, keep_newest: bool = False) -> Step:
    """Cut lists of the same length at their end (or at their beginning) to the most entries that fit."""

    def first(message: Message, n: int) -> Message:
        cut = {name: values[len(values) - n :] if keep_newest else values[:n] for name in names for values in [getattr(message, name)]}
        return replace(message, **cut)

    def cut(message: Message, limit: int) -> Message:
        return first(message, _most(len(getattr(message, names[0])), lambda n: len(encode(first(message, n))) <= limit))

    return Step(names[0], cut)


def _of_items(name: str, value: object) -> Step:
    """Empty a field of every item of an answer."""

    def cut(response: FeedResponse, limit: int) -> FeedResponse:
        return replace(response, items=[replace(item, **{name: value}) for item in response.items])

    return Step(name, cut)


def _beginning(name: str, most: int) -> Step:
    return Step(name, lambda message, _: replace(message, **{name: getattr(message, name)[:most]}))


def _raw(letter: DeadLetter, limit: int) -> DeadLetter:
    whole = len(letter.raw) if letter.raw_size is None else letter.raw_size

    def first(n: int) -> DeadLetter:
        return replace(letter, raw=letter.raw[:n], raw_size=whole)

    return first(_most(len(letter.raw), lambda n: len(encode(first(n))) <= limit))


def _most(n: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from 0 to `n` that fits, 0 where none does."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _without_read(record: ServedRecord, _: int) -> ServedRecord:
    return replace(record, read=ReadState(available=record.read.available), lost=[*record.lost, "read"])


def _without_candidates(record: ServedRecord, _: int) -> ServedRecord:
    nothing = CandidateTable(video_ids="", sources=b"", dropped=b"", scores=b"")
    return replace(record, candidates=nothing, lost=[*record.lost, "candidates"])


RULES: Mapping[type[Message], tuple[Step, ...]] = {
    Event: (_empty("context", None), _shorter("tags")),
    EntityCounters: (_empty("surfaces", {}), _shorter("panes", keep_newest=True)),
    TrendingList: (_shorter("video_ids", "scores"),),
    Neighbours: (_shorter("video_ids", "weights"),),
    FeedResponse: (
        _of_items("fields", {}),
        _of_items("tags", ()),
        _of_items("prefetch_url", None),
        _of_items("thumbnail_url", None),
        _shorter("items"),
    ),
    ServedRecord: (Step("read", _without_read), Step("candidates", _without_candidates)),
    DeadLetter: (
        Step("raw", _raw),
        _empty("key", None),
        *(_beginning(name, BEGINNING_BYTES) for name in ("expected", "got", "path")),
    ),
}
"""By contract, what is given up, in this order, until the message fits. A contract that is not named gives up nothing: its record becomes a
dead letter."""
