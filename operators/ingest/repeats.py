"""Repeats after a crash are folded by where an event came from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from schemas.telemetry import Event, Origin

Mark: TypeAlias = tuple[int, int]
"""Raw offset and index in the batch of the newest event taken in."""


class RepeatFold:
    """Tells events that were not yet taken in from those that come again.

    Ingest reads each raw partition in order and writes in order, so within anything that keeps the order of `telemetry.events` (one of its
    partitions, or one user shard) the origins of one raw partition grow. What is not beyond the mark came before: exact, and two numbers of
    memory per (lane, raw partition).

    Examples
    --------
    >>> fold = RepeatFold()
    >>> [fold.admits(Origin(0, 7, 0)), fold.admits(Origin(0, 7, 1)), fold.admits(Origin(0, 7, 0)), fold.admits(Origin(1, 2, 0))]
    [True, True, False, True]
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[int, int], Mark] = {}

    def admits(self, origin: Origin, lane: int = 0) -> bool:
        """Return whether the event is new, and move the mark.

        Parameters
        ----------
        origin
            Where the event came from.
        lane
            What keeps the order that the event came in: the partition of `telemetry.events`, or the user shard. An operator that sees one
            lane only may leave it out.
        """
        key = (lane, origin.partition)
        mark = self._marks.get(key)
        reached = (origin.offset, origin.index)
        if mark is not None and reached <= mark:
            return False
        self._marks[key] = reached
        return True

    def fresh(self, events: Iterable[Event], lane: int = 0) -> list[Event]:
        """Return the events of one lane that are new, order kept."""
        return [event for event in events if self.admits(event.origin, lane)]

    def snapshot(self) -> list[tuple[int, int, int, int]]:
        """Return the marks as (lane, raw partition, offset, index)."""
        return [(*key, *mark) for key, mark in self._marks.items()]

    def restore(self, marks: Iterable[tuple[int, int, int, int]]) -> None:
        """Take back what `snapshot` returned."""
        self._marks = {(lane, partition): (offset, index) for lane, partition, offset, index in marks}
