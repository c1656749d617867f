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
    """The counters of one entity: totals, and each minute's.

    What is taken back leaves the totals and no minute. A person's total never falls below 0; that of others, of whom many people's
    events are counted in any order, is shown as 0 where it does.
    """

    totals: list[int] = field(default_factory=lambda: [0] * N_COUNTERS)
    minutes: dict[int, list[int]] = field(default_factory=dict)

    def add(self, minute: int, counter: Counter, n: int, *, least: int | None) -> None:
        """Count `n` in a minute; the total does not fall below `least`."""
        total = self.totals[counter] + n
        self.totals[counter] = total if least is None else max(total, least)
        row = self.minutes.get(minute)
        if row is None:
            row = self.minutes[minute] = [0] * N_COUNTERS
        row[counter] += max(n, 0)

    def shown(self) -> list[int]:
        """Return the totals as they are published."""
        return [max(total, 0) for total in self.totals]

    def panes(self) -> dict[int, list[int]]:
        """Return the minutes that a sliding window can still reach: the newest and the PANES - 1 before it."""
        newest = max(self.minutes, default=0)
        return {minute: row for minute, row in self.minutes.items() if minute > newest - PANES}


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
                count = self.counts[entity] = Count()
            least = 0 if entity.startswith("user:") else None
            for counter, n in changes:
                count.add(minute, counter, n, least=least)

    def compare(self, entity: str, totals: Sequence[int], panes: Sequence[Pane]) -> Iterator[Wrong]:
        """Yield what differs between an entity's counters and the recount."""
        count = self.counts.get(entity, Count())
        yield from _rows(entity, "total", count.shown(), totals)
        got: Mapping[int, Sequence[int]] = {pane.minute: pane.counts for pane in panes}
        expected = count.panes()
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
