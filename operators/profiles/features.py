"""Features: everything that is counted of people, videos, creators and tags, folded from clean events and histories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from operators.base import BucketedOperator, Example, State
from operators.examples import histories, traffic
from operators.ingest.repeats import RepeatFold
from operators.profiles.example_people import last_rows
from operators.profiles.update import UserUpdate
from operators.profiles.users import UserProfiles
from operators.windows.entities import EntityWindows
from schemas.features import EntityCounters
from schemas.telemetry import Event, UserHistory


class Arrived(NamedTuple):
    """A message and where it came from: partition and offset of `telemetry.events` or `telemetry.history`."""

    partition: int
    offset: int
    message: Event | UserHistory


class FeatureFold(BucketedOperator[Arrived, UserUpdate | EntityCounters]):
    """Folds repeats, then counts; `on_time` returns the people that changed, and at intervals the videos, creators and tags.

    Exact over crashes: what was taken in is known by origin (events) or by offset (histories), and all state is saved together.

    Parameters
    ----------
    users, entities
        The counting operators, new ones.
    items_every
        Least time between two times that videos, creators and tags come out, by the clock of `on_time`.

    Examples
    --------
    >>> fold = FeatureFold(users=UserProfiles(), entities=EntityWindows())
    >>> liked = Arrived(0, 7, traffic(1, 1)[0])
    >>> _ = fold.on_batch([liked, liked])
    >>> [type(one).__name__ for one in fold.on_time(10_000)]
    ['UserUpdate', 'EntityCounters', 'EntityCounters', 'EntityCounters', 'EntityCounters']
    """

    def __init__(self, *, users: UserProfiles, entities: EntityWindows, items_every: timedelta = timedelta(milliseconds=200)) -> None:
        self.users = users
        self.entities = entities
        self.items_every = items_every
        self._events = RepeatFold()
        self._histories: dict[int, int] = {}
        self._items_at_ms = 0

    @property
    def pending(self) -> bool:
        """Whether anything changed since it last came out."""
        return self.users.pending or self.entities.pending

    def touched(self, batch: Sequence[Arrived]) -> set[int]:
        """Return the buckets of the people, then those of the videos, creators and tags."""
        n = self.users.n_buckets
        users = self.users.touched([one.message for one in batch])
        return users | {n + bucket for bucket in self.entities.touched([one.message for one in batch if type(one.message) is Event])}

    def on_batch(self, batch: Sequence[Arrived]) -> list[UserUpdate | EntityCounters]:
        """Count what is new; results come out of `on_time`."""
        happened: list[Event | UserHistory] = []
        events: list[Event] = []
        admits, marks = self._events.admits, self._histories
        for partition, offset, message in batch:
            if type(message) is Event:
                if admits(message.origin, partition):
                    happened.append(message)
                    events.append(message)
            elif offset > marks.get(partition, -1):
                marks[partition] = offset
                happened.append(message)
        self.users.on_batch(happened)
        self.entities.on_batch(events)
        return []

    def on_time(self, now_ms: int) -> list[UserUpdate | EntityCounters]:
        """Return the rows of people that changed since the last call, and those of entities if their time has come."""
        out: list[UserUpdate | EntityCounters] = [*self.users.on_time(now_ms)]
        if now_ms >= self._items_at_ms + self.items_every // timedelta(milliseconds=1):
            self._items_at_ms = now_ms
            out += self.entities.on_time(now_ms)
        return out

    def snapshot_head(self) -> State:
        """Return the marks of what was taken in, and the heads of both operators."""
        return {
            "version": self.VERSION,
            "events": self._events.snapshot(),
            "histories": dict(self._histories),
            "users": self.users.snapshot_head(),
            "entities": self.entities.snapshot_head(),
        }

    def restore_head(self, state: State) -> None:
        """Take back what `snapshot_head` returned."""
        self.check_version(state)
        self._events.restore(state["events"])
        self._histories = dict(state["histories"])
        self.users.restore_head(state["users"])
        self.entities.restore_head(state["entities"])

    def snapshot_bucket(self, bucket: int) -> bytes:
        """Return the rows of a bucket."""
        n = self.users.n_buckets
        return self.users.snapshot_bucket(bucket) if bucket < n else self.entities.snapshot_bucket(bucket - n)

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        """Take back the rows of a bucket."""
        n = self.users.n_buckets
        if bucket < n:
            self.users.restore_bucket(bucket, state)
        else:
            self.entities.restore_bucket(bucket - n, state)

    def buckets(self) -> list[int]:
        """Return the buckets that have rows."""
        return [*self.users.buckets(), *(self.users.n_buckets + bucket for bucket in self.entities.buckets())]

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a stream of which the first third is read again, and again after the end."""
        events = [Arrived(0, offset, one) for offset, one in enumerate(traffic(4, 120))]
        before = [Arrived(0, offset, one) for offset, one in enumerate(histories(4))]
        yield Example(
            make=lambda: cls(users=UserProfiles(n_buckets=8), entities=EntityWindows(n_buckets=8), items_every=timedelta(0)),
            events=[*before, *events[:80], *events[40:], *before, *events],
            finish_ms=1,
            folded=_last,
        )


def _last(out: list[UserUpdate | EntityCounters]) -> Any:
    entities = {(one.kind, one.id): one for one in out if isinstance(one, EntityCounters)}
    return last_rows([one for one in out if isinstance(one, UserUpdate)]), entities
