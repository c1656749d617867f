"""Features: everything that is known of people, videos, creators and tags, folded from clean events, histories and user records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from operators.base import Example, State, StreamOperator
from operators.examples import histories, traffic
from operators.ingest.repeats import RepeatFold
from operators.profiles.example_people import last_rows, profiles
from operators.profiles.told import ProfileTold
from operators.profiles.update import UserUpdate
from operators.profiles.users import UserProfiles
from operators.windows.entities import EntityWindows
from schemas.features import EntityCounters
from schemas.telemetry import Event, UserHistory

_encode = msgspec.msgpack.Encoder().encode
_decode_block = msgspec.msgpack.Decoder(tuple[str, bytes]).decode


class Arrived(msgspec.Struct, array_like=True, frozen=True):
    """An event, a history or a profile, and its partition and offset on the topic that it came from."""

    partition: int
    offset: int
    event: Event | None = None
    history: UserHistory | None = None
    told: ProfileTold | None = None


class FeatureFold(StreamOperator[Arrived, UserUpdate | EntityCounters]):
    """Folds repeats, then counts; `on_time` returns the people that changed, and at intervals the videos, creators and tags.

    Exact over crashes: what was taken in is known by origin (events) or by offset (histories, profiles), and all state is saved together.

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
        self._told: dict[int, int] = {}
        self._items_at_ms = 0

    @property
    def pending(self) -> bool:
        """Whether anything changed since it last came out."""
        return self.users.pending or self.entities.pending

    def on_batch(self, batch: Sequence[Arrived]) -> list[UserUpdate | EntityCounters]:
        """Count what is new; results come out of `on_time`."""
        happened: list[Event | UserHistory | ProfileTold] = []
        events: list[Event] = []
        admits = self._events.admits
        for one in batch:
            event = one.event
            if event is not None:
                if admits(event.origin, one.partition):
                    happened.append(event)
                    events.append(event)
                continue
            marks, other = (self._told, one.told) if one.history is None else (self._histories, one.history)
            if other is not None and one.offset > marks.get(one.partition, -1):
                marks[one.partition] = one.offset
                happened.append(other)
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

    def head(self) -> State:
        """Return the marks of what was taken in, and the heads of both operators."""
        return {
            "version": self.VERSION,
            "events": self._events.snapshot(),
            "histories": dict(self._histories),
            "told": dict(self._told),
            "users": self.users.head(),
            "entities": self.entities.head(),
        }

    def restore_head(self, state: State) -> None:
        """Take back what `head` returned."""
        self.check_version(state)
        self._events.restore(state["events"])
        self._histories = dict(state["histories"])
        self._told = dict(state.get("told", {}))
        self.users.restore_head(state["users"])
        self.entities.restore_head(state["entities"])

    def blocks(self) -> Iterator[bytes]:
        """Yield all state, a block at a time."""
        yield _encode(("head", _encode(self.head())))
        for block in self.users.row_blocks():
            yield _encode(("users", block))
        for block in self.entities.row_blocks():
            yield _encode(("entities", block))

    def restore_blocks(self, blocks: Iterator[bytes]) -> None:
        """Take back what `blocks` yielded."""
        for block in blocks:
            what, data = _decode_block(block)
            if what == "head":
                self.restore_head(msgspec.msgpack.decode(data))
            elif what == "users":
                self.users.restore_rows(data)
            else:
                self.entities.restore_rows(data)

    def snapshot(self) -> State:
        """Return all state."""
        return {"version": self.VERSION, "blocks": list(self.blocks())}

    def restore(self, state: State) -> None:
        """Take back all state."""
        self.check_version(state)
        self.restore_blocks(iter(state["blocks"]))

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a stream of which the first third is read again, and again after the end."""
        events = [Arrived(0, offset, one) for offset, one in enumerate(traffic(4, 120))]
        before = [Arrived(0, offset, None, one) for offset, one in enumerate(histories(4))]
        before += [Arrived(0, offset, told=one) for offset, one in enumerate(profiles(4))]
        yield Example(
            make=lambda: cls(users=UserProfiles(), entities=EntityWindows(), items_every=timedelta(0)),
            events=[*before, *events[:80], *events[40:], *before, *events],
            finish_ms=1,
            folded=_last,
        )


def _last(out: list[UserUpdate | EntityCounters]) -> Any:
    entities = {(one.kind, one.id): one for one in out if isinstance(one, EntityCounters)}
    return last_rows([one for one in out if isinstance(one, UserUpdate)]), entities
