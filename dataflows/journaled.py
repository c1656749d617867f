"""A step for an operator whose every batch changes all of its state: what came in is kept in a journal, the state itself seldom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic

from dataflows.bucketed import Pace
from dataflows.journal import Journal, Place

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)

KEY = "all"
REBASE_BYTES = 4 << 20


class Journalable(Protocol[In_contra, Out_co]):
    """An operator whose state can be written block by block, and that gets the same state from the same events in whatever batches."""

    @property
    def pending(self) -> bool:
        """Whether `on_time` has something to return."""

    def on_batch(self, batch: Sequence[In_contra]) -> Iterable[Out_co]:
        """Take in events."""

    def on_time(self, now_ms: int) -> Iterable[Out_co]:
        """Return what is due."""

    def blocks(self) -> Iterator[bytes]:
        """Yield the state."""

    def restore_blocks(self, blocks: Iterator[bytes]) -> None:
        """Take back what `blocks` yielded."""


class _Logic(StatefulBatchLogic[Sequence[In], Out, Place], Generic[In, Out]):
    def __init__(
        self, operator: Journalable[In, Out], journal: Journal, decode: Callable[[bytes], Sequence[In]], pace: Pace, place: Place | None
    ) -> None:
        self._operator = operator
        self._journal = journal
        self._pace = pace
        if place is None:
            journal.start()
            return
        base, batches = journal.resume(place)
        if place[0]:
            operator.restore_blocks(base)
        for batch in batches:
            operator.on_batch(decode(batch))

    def on_batch(self, values: list[Sequence[In]]) -> tuple[Iterable[Out], bool]:
        """Keep what came, then let the operator work."""
        out: list[Out] = []
        for batch in values:
            self._journal.append(msgspec.msgpack.encode(batch))
            out += self._operator.on_batch(batch)
        return out + self._ask() if self._pace.due else out, self.RETAIN

    def on_notify(self) -> tuple[Iterable[Out], bool]:
        """Ask the operator for what is due."""
        return (self._ask() if self._pace.due else ()), self.RETAIN

    def on_eof(self) -> tuple[Iterable[Out], bool]:
        """Ask for all that is due; nothing more will come."""
        out: list[Out] = []
        while self._operator.pending:
            out += self._ask()
        return out, self.RETAIN

    def notify_at(self) -> datetime | None:
        """Return when to ask again."""
        return self._pace.due_at() if self._operator.pending else None

    def snapshot(self) -> Place:
        """Return how far the journal reaches; write a new base when the journal has grown long."""
        if self._journal.length > REBASE_BYTES:
            self._journal.rebase(self._operator.blocks())
        return self._journal.sync()

    def _ask(self) -> list[Out]:
        if not self._operator.pending:
            return []
        started = time.monotonic()
        out = list(self._operator.on_time(time.time_ns() // 1_000_000))
        self._pace.asked()
        self._pace.spent(time.monotonic() - started)
        return out


def journaled(
    step_id: str,
    up: Stream[Sequence[In]],
    operator: Journalable[In, Out],
    *,
    journal: Journal,
    decode: Callable[[bytes], Sequence[In]],
    pace: Pace,
) -> Stream[Out]:
    """Run an operator over a stream of batches.

    Parameters
    ----------
    step_id
        Unique id of the step.
    up
        Batches of events, structs that msgpack can hold.
    operator
        A new one: what it knew is put back when the flow starts.
    journal
        Where its input is kept.
    decode
        Reads a batch of events from msgpack.
    pace
        When its `on_time` is called.
    """

    def keyed(batches: list[Sequence[In]]) -> list[tuple[str, Sequence[In]]]:
        return [(KEY, batch) for batch in batches if batch]

    def build(place: Place | None) -> _Logic[In, Out]:
        return _Logic(operator, journal, decode, pace, place)

    batches: KeyedStream[Sequence[In]] = op.flat_map_batch(f"{step_id}_route", up, keyed)
    worked: Stream[tuple[str, Any]] = op.stateful_batch(step_id, batches, build)
    return op.map(f"{step_id}_out", worked, lambda pair: pair[1])
