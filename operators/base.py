"""Stream operators: state folded over events. No broker, no store, no clock: time comes in with the data.

The stages of a request (Source, Hydrator, Filter, Scorer, Selector, SideEffect) are in operators.stages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

State: TypeAlias = dict[str, Any]
"""Plain, versioned data: None, bool, int, float, str, bytes, and lists, tuples, dicts of these; the key "version" is always there."""


def _as_they_came(outputs: list[Any]) -> Any:
    return outputs


@dataclass(frozen=True, kw_only=True)
class Example(Generic[In, Out]):
    """How to make an operator, and events for it: the input of the contract checks.

    Parameters
    ----------
    make
        Makes a new operator.
    events
        What to feed it; late, repeated, first and unseen ones among them.
    finish_ms
        `on_time` is called with this after the last event.
    folded
        What of the outputs must be the same however the events were cut into batches; default: all, in order.
    endless
        Makes the n-th event of a stream of ever new keys; with it the bound on memory is checked.
    bound
        After this many endless events the state must not grow any more.
    """

    make: Callable[[], StreamOperator[In, Out]]
    events: Sequence[In]
    finish_ms: int = 0
    folded: Callable[[list[Out]], Any] = _as_they_came
    endless: Callable[[int], In] | None = None
    bound: int = 0


class StreamOperator(ABC, Generic[In, Out]):
    """State folded over events, the same however the events are cut into batches, and over a crash at any event."""

    VERSION: ClassVar[int] = 1

    @abstractmethod
    def on_batch(self, batch: Sequence[In]) -> list[Out]:
        """Take in events in order; return what comes of them at once. The events are left as they are."""

    def on_event(self, event: In) -> list[Out]:
        """Take in one event."""
        return self.on_batch([event])

    def on_time(self, now_ms: int) -> list[Out]:
        """Return what is due at `now_ms` (epoch milliseconds); nothing by default."""
        return []

    @abstractmethod
    def snapshot(self) -> State:
        """Return all state as plain data with its "version"; later events must not change what was returned."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take the place of the operator that made this snapshot.

        Raises
        ------
        ValueError
            If the version of `state` cannot be read.
        """

    @classmethod
    @abstractmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield examples for the contract checks (operators.checks)."""

    def check_version(self, state: State) -> None:
        """Refuse the snapshot of another version.

        Raises
        ------
        ValueError
            If the version is another one than ours.
        """
        if state.get("version") != self.VERSION:
            text = (
                f"expected a snapshot of version {self.VERSION}, got {state.get('version')!r}, at {type(self).__name__}; "
                "empty the recovery folder and read the topics from their start"
            )
            raise ValueError(text)


class BlockOperator(StreamOperator[In, Out]):
    """An operator with large state that can be written block by block: a head, and rows in blocks of a bounded size."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether `on_time` has something to return."""

    @abstractmethod
    def head(self) -> State:
        """Return what is in no row, with the "version"."""

    @abstractmethod
    def restore_head(self, state: State) -> None:
        """Take back what `head` returned; comes before the rows.

        Raises
        ------
        ValueError
            If the version of `state` cannot be read.
        """

    @abstractmethod
    def row_blocks(self) -> Iterator[bytes]:
        """Yield all rows, some at a time."""

    @abstractmethod
    def restore_rows(self, block: bytes) -> None:
        """Take back one of the blocks that `row_blocks` yielded; they come in their order."""

    def snapshot(self) -> State:
        """Return the head with all rows."""
        return {**self.head(), "rows": list(self.row_blocks())}

    def restore(self, state: State) -> None:
        """Take back head and rows."""
        self.restore_head(state)
        for block in state["rows"]:
            self.restore_rows(block)


class BucketedOperator(StreamOperator[In, Out]):
    """An operator with large state, kept in many small buckets, so that a snapshot holds only what changed since the last one.

    A bucket's state changes only by a batch that `touched` names it for; the head is small and changes with any batch.
    """

    @property
    def pending(self) -> bool:
        """Whether `on_time` has something to return."""
        return False

    @property
    def forgets_after(self) -> timedelta | None:
        """After what time a bucket that was not touched may have lost its state; None where it keeps it until it is touched."""
        return None

    def has_forgotten(self, bucket: int) -> bool:
        """Return whether a bucket has lost its state since it was touched; asked where `forgets_after` says so."""
        return False

    @abstractmethod
    def touched(self, batch: Sequence[In]) -> Iterable[int]:
        """Return the buckets that these events may change; depends on the events only, and repeats are allowed."""

    @abstractmethod
    def snapshot_head(self) -> State:
        """Return what is in no bucket."""

    @abstractmethod
    def restore_head(self, state: State) -> None:
        """Take back what `snapshot_head` returned."""

    @abstractmethod
    def snapshot_bucket(self, bucket: int) -> bytes:
        """Return a bucket's state; empty when there is none."""

    @abstractmethod
    def restore_bucket(self, bucket: int, state: bytes) -> None:
        """Take back what `snapshot_bucket` returned; the order of head and buckets does not matter."""

    @abstractmethod
    def buckets(self) -> Iterable[int]:
        """Return the buckets that have state, ascending."""

    def snapshot(self) -> State:
        """Return the head and every bucket."""
        return {
            "version": self.VERSION,
            "head": self.snapshot_head(),
            "buckets": {one: self.snapshot_bucket(one) for one in self.buckets()},
        }

    def restore(self, state: State) -> None:
        """Take back the head and every bucket."""
        self.check_version(state)
        self.restore_head(state["head"])
        for bucket, data in state["buckets"].items():
            self.restore_bucket(bucket, data)
