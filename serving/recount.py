"""Counts events again, one by one and in the plainest way, to check the counters that the stream keeps.

Which counters an event adds to is the one definition that the stream uses too (`increments`); folding of repeats, windows, shards,
snapshots, Redis and the topics between are not shared, and are what this checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from operators.windows.counting import increments, tags_of
from schemas.features import N_COUNTERS, PANE_MS, PANES, Counter, Pane
from schemas.telemetry import Event


class Wrong(msgspec.Struct, frozen=True):
    """A counter that is not what a recount gives; `window` is "total" or the epoch minute of a pane."""

    entity: str
    window: str
    counter: str
    expected: int
    got: int


@dataclass(slots=True)
class Count:
    """The counters of one entity: totals, and each minute's; what is taken back counts as less than 0 where it happened."""

    totals: list[int] = field(default_factory=lambda: [0] * N_COUNTERS)
    minutes: dict[int, list[int]] = field(default_factory=dict)

    def add(self, minute: int, counter: Counter, n: int) -> None:
        """Count `n` in a minute."""
        self.totals[counter] += n
        self._row(minute)[counter] += n

    def panes(self) -> dict[int, list[int]]:
        """Return the minutes that a sliding window can still reach: the newest and the PANES - 1 before it."""
        newest = max(self.minutes, default=0)
        return {minute: row for minute, row in self.minutes.items() if minute > newest - PANES}

    def published(self) -> tuple[list[int], dict[int, list[int]]]:
        """Return totals and panes without what is below 0: it is taken from the minutes before."""
        panes = {minute: list(row) for minute, row in self.panes().items()}
        owed = [0] * N_COUNTERS
        for minute in sorted(panes, reverse=True):
            left = [n + less for n, less in zip(panes[minute], owed, strict=True)]
            panes[minute] = [max(n, 0) for n in left]
            owed = [min(n, 0) for n in left]
        return [max(total, 0) for total in self.totals], panes

    def _row(self, minute: int) -> list[int]:
        row = self.minutes.get(minute)
        if row is None:
            row = self.minutes[minute] = [0] * N_COUNTERS
        return row


class PersonCount(Count):
    """The counters of one person: the events are known in their order, so that what is taken back is taken at once."""

    def add(self, minute: int, counter: Counter, n: int) -> None:
        """Count `n` in a minute; what is taken back is taken from the newest minute that holds any."""
        row = self._row(minute)
        if n >= 0:
            self.totals[counter] += n
            row[counter] += n
            return
        self.totals[counter] = max(self.totals[counter] + n, 0)
        if minute in self.panes():
            holding = [other for other, row in self.panes().items() if row[counter] > 0]
            if holding:
                self.minutes[max(holding)][counter] += n


class Recount:
    """Counters of every user, user×tag, video, creator and tag; entities are named `user:ID`, `user:ID/tag:NAME`, `video:ID` ..."""

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}

    def add(self, event: Event) -> None:
        """Count an event for everything that it names."""
        minute = event.timestamp_ms // PANE_MS
        changes = increments(event)
        if not changes:
            return
        for entity in _entities(event):
            count = self.counts.get(entity)
            if count is None:
                count = self.counts[entity] = PersonCount() if entity.startswith("user:") else Count()
            for counter, n in changes:
                count.add(minute, counter, n)

    def compare(self, entity: str, totals: Sequence[int], panes: Sequence[Pane]) -> Iterator[Wrong]:
        """Yield what differs between an entity's counters and the recount."""
        count = self.counts.get(entity, Count())
        expected_totals, expected = count.published()
        yield from _rows(entity, "total", expected_totals, totals)
        got: Mapping[int, Sequence[int]] = {pane.minute: pane.counts for pane in panes}
        newest = max([*expected, *got], default=0)
        zeros = [0] * N_COUNTERS
        for minute in sorted(minute for minute in expected.keys() | got.keys() if minute > newest - PANES):
            yield from _rows(entity, str(minute), expected.get(minute, zeros), got.get(minute, zeros))


def _rows(entity: str, window: str, expected: Sequence[int], got: Sequence[int]) -> Iterator[Wrong]:
    if list(expected) == list(got):
        return
    for counter, one, other in zip(Counter, expected, got, strict=True):
        if one != other:
            yield Wrong(entity, window, counter.name.lower(), one, other)


def _entities(event: Event) -> list[str]:
    names = [f"user:{event.user_id}", f"video:{event.video_id}"]
    if event.creator_id is not None:
        names.append(f"creator:{event.creator_id}")
    for tag in tags_of(event):
        names.append(f"tag:{tag}")
        names.append(f"user:{event.user_id}/tag:{tag}")
    return names
