"""A step for operators with large state: each epoch's snapshot holds the buckets that changed, not all of them.

bytewax snapshots the keys that were awake in an epoch. So each bucket is a key of the step, and whole batches go to one more key, the head,
which does all the work on the state that the keys share. A bucket's key is only sent "touched" along with the batch, to be awake when the
epoch closes. Epochs close for all keys of a step together, before any item of the next, so the snapshots of a step agree.

The state is shared in memory, hence one worker a process: scale by processes that own a subset of the partitions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import StatefulBatchLogic

from operators.base import BucketedOperator, State

In = TypeVar("In")
Out = TypeVar("Out")

Item: TypeAlias = Sequence[Any] | int
"""What a key gets: the head a batch, a bucket its number."""
Saved: TypeAlias = State | tuple[int, bytes]
"""What a key saves: the head a dict, a bucket its number and state."""

HEAD = "head"
END_OF_TIME_MS = 2**53
SOONEST = timedelta(minutes=1)
"""How often a bucket is looked at that may have been forgotten, at most."""
AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)


class Pace:
    """When to ask an operator for what is due: at once after a quiet time, else at intervals, with all that came in between.

    Parameters
    ----------
    least
        Shortest interval.
    share
        Largest share of the time that the asking and the writing of the answers may take, in (0, 1]; under load intervals grow by that.
    most
        Longest interval, whatever the share says.
    """

    def __init__(self, *, least: timedelta, share: float = 0.2, most: timedelta = timedelta(minutes=1)) -> None:
        if not 0 < share <= 1:
            text = f"expected a number in (0, 1], got {share}, at share"
            raise ValueError(text)
        self.least = least
        self.share = share
        self.most = most
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to ask."""
        return time.monotonic() >= self._next

    def due_at(self) -> datetime:
        """Return when it will be time to ask."""
        left = self._next - time.monotonic()
        return AT_ONCE if left <= 0 else datetime.now(UTC) + timedelta(seconds=left)

    def asked(self) -> None:
        """Begin an interval."""
        self._next = time.monotonic() + self.least.total_seconds()

    def spent(self, seconds: float) -> None:
        """Take note of time spent on what was asked for."""
        rest_s = min(seconds * (1 / self.share - 1), self.most.total_seconds())
        self._next = max(self._next, time.monotonic() + rest_s)


class _Key(StatefulBatchLogic[Item, Any, Saved], Generic[In, Out]):
    """One key of the step; which one it is, it learns from its first item or from its saved state."""

    def __init__(self, operator: BucketedOperator[In, Out], pace: Pace, saved: Saved | None) -> None:
        self._operator = operator
        self._pace = pace
        self._bucket: int | None = None
        if isinstance(saved, dict):
            operator.restore_head(saved)
        elif saved is not None:
            self._bucket = saved[0]
            operator.restore_bucket(*saved)

    def on_batch(self, values: list[Item]) -> tuple[Iterable[Any], bool]:
        """Let the operator work, if this is the head."""
        if isinstance(values[0], int):
            self._bucket = values[0]
            return (), self.RETAIN
        out: list[Out] = []
        for batch in values:
            out += self._operator.on_batch(batch)  # type: ignore[arg-type]  # the head gets batches only
        return out + self._ask() if self._pace.due else out, self.RETAIN

    def on_notify(self) -> tuple[Iterable[Any], bool]:
        """Ask the operator for what is due; give up a bucket that it has forgotten, on disk too."""
        if self._bucket is not None:
            return (), self._operator.has_forgotten(self._bucket)
        return self._ask(), self.RETAIN

    def on_eof(self) -> tuple[Iterable[Any], bool]:
        """Ask the operator for all that it still has; nothing more will come."""
        return (self._operator.on_time(END_OF_TIME_MS) if self._bucket is None else ()), self.RETAIN

    def notify_at(self) -> datetime | None:
        """Return when the head is to ask, or when a bucket may be forgotten."""
        if self._bucket is None:
            return self._pace.due_at() if self._operator.pending else None
        after = self._operator.forgets_after
        return None if after is None else datetime.now(UTC) + max(after, SOONEST)

    def snapshot(self) -> Saved:
        """Return this key's part of the state."""
        if self._bucket is None:
            return self._operator.snapshot_head()
        return self._bucket, self._operator.snapshot_bucket(self._bucket)

    def _ask(self) -> list[Out]:
        if not self._operator.pending:
            return []
        started = time.monotonic()
        out = self._operator.on_time(time.time_ns() // 1_000_000)
        self._pace.asked()
        self._pace.spent(time.monotonic() - started)
        return out


def bucketed(step_id: str, up: Stream[Sequence[In]], operator: BucketedOperator[In, Out], pace: Pace) -> Stream[Out]:
    """Run an operator over a stream of batches.

    Parameters
    ----------
    step_id
        Unique id of the step.
    up
        Batches of events.
    operator
        A new one: what it knew is put back when the flow starts.
    pace
        When its `on_time` is called.
    """

    def route(batches: list[Sequence[In]]) -> list[tuple[str, Item]]:
        routed: list[tuple[str, Item]] = []
        for batch in batches:
            routed.append((HEAD, batch))
            routed += [(str(bucket), bucket) for bucket in set(operator.touched(batch))]
        return routed

    def build(saved: Saved | None) -> _Key[In, Out]:
        return _Key(operator, pace, saved)

    keyed: Stream[tuple[str, Item]] = op.flat_map_batch(f"{step_id}_route", up, route)
    worked: Stream[tuple[str, Out]] = op.stateful_batch(step_id, keyed, build)
    return op.map(f"{step_id}_out", worked, lambda pair: pair[1])
