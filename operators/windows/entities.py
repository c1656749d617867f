"""Entity windows: what happened to each video, creator and tag, folded from events into counters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, TypeAlias, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.base import BlockOperator, Example, State
from operators.examples import event, traffic
from operators.forgetting import Forgetting, Idleness
from operators.windows.counting import tags_of
from operators.windows.pending import Pending
from operators.windows.surfaces import OTHER
from operators.windows.tables import EntityTables, SavedRows
from schemas.features import EntityCounters
from schemas.telemetry import Event, InteractionType

Ints: TypeAlias = NDArray[np.int64]
Kind: TypeAlias = Literal["video", "creator", "tag"]

_IMPRESSION = InteractionType.IMPRESSION
ROWS_A_BLOCK = 500
APPLIED_AT_ONCE = 2_000
"""Events that wait before they are applied together; arithmetic on a few would cost as much as on all of these."""

_encode = msgspec.msgpack.Encoder().encode
_decode_entity = msgspec.msgpack.Decoder(EntityCounters).decode
_decode_rows = msgspec.msgpack.Decoder(SavedRows).decode


class EntityWindows(BlockOperator[Event, EntityCounters]):
    """Folds events into one row per video, creator and tag; `on_time` returns the rows that changed since it was last called.

    Repeats must have been folded before (operators.ingest.repeats). Counters and panes do not depend on the order of the events.

    Parameters
    ----------
    max_entities
        Rows held, 4 KB each; beyond it the longest idle are forgotten (operators.forgetting).

    Examples
    --------
    >>> windows = EntityWindows()
    >>> _ = windows.on_batch([event(1, video_id="v", tags=("a", "b"))])
    >>> [(one.kind, one.id, one.totals[0], len(one.panes)) for one in windows.on_time(0)]
    [('video', 'v', 1, 1), ('tag', 'a', 1, 1), ('tag', 'b', 1, 1)]
    >>> windows.on_time(0)
    []
    """

    def __init__(self, *, max_entities: int = 200_000) -> None:
        self.max_entities = max_entities
        self._tables = EntityTables()
        self._forgetting = Forgetting(most=max_entities)
        self._rows: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._free: list[int] = []
        self._known: dict[tuple[str, str | None, tuple[str, ...]], tuple[int, ...]] = {}
        self._waiting = Pending()
        self._left: list[EntityCounters] = []
        self._is_pending = False

    @property
    def forgotten(self) -> int:
        """Number of entities forgotten so far."""
        return self._forgetting.count

    @property
    def pending(self) -> bool:
        """Whether rows changed since the last `on_time`."""
        return self._is_pending

    def on_batch(self, batch: Sequence[Event]) -> list[EntityCounters]:
        """Fold events; rows come out of `on_time`."""
        self._is_pending = self._is_pending or len(batch) > 0
        known, surfaces = self._known, self._tables.surfaces
        for one in batch:
            rows = known.get((one.video_id, one.creator_id, one.tags))
            if rows is None:
                rows = self._make_rows(one)
            if one.interaction_type is _IMPRESSION and not one.repeated:
                surface = OTHER if one.context is None else one.context.surface or OTHER
                column = surfaces.find(rows[0], surface)
                if column < 0:
                    self._apply()
                    column = surfaces.make(rows[0], surface)
                self._waiting.event(one, rows, column)
            else:
                self._waiting.event(one, rows)
        if len(self._waiting) >= APPLIED_AT_ONCE:
            self._apply()
        return []

    def on_time(self, now_ms: int) -> list[EntityCounters]:
        """Return the full values of each row that changed since the last call."""
        self._apply()
        rows = np.flatnonzero(self._tables.changed)
        self._tables.changed[rows] = False
        self._is_pending = False
        out, self._left = self._left, []
        return out + self._values(rows)

    def head(self) -> State:
        """Return what was forgotten, and what of it is still to come out."""
        return {"version": self.VERSION, "left": [_encode(one) for one in self._left], "forgetting": self._forgetting.snapshot()}

    def restore_head(self, state: State) -> None:
        """Take back what `head` returned."""
        self.check_version(state)
        self._left = [_decode_entity(one) for one in state["left"]]
        self._is_pending = bool(self._left)
        self._forgetting.restore(state["forgetting"])

    def row_blocks(self) -> Iterator[bytes]:
        """Yield ROWS_A_BLOCK rows at a time."""
        self._apply()
        held = iter(self._rows.items())
        while block := dict(islice(held, ROWS_A_BLOCK)):
            yield _encode(self._tables.save(list(block), list(block.values())))

    def restore_rows(self, block: bytes) -> None:
        """Take back a block of rows."""
        saved = _decode_rows(block)
        rows = [self._new_row(key) for key in saved.keys]
        self._tables.put_back(rows, saved)
        self._is_pending = self._is_pending or bool(self._tables.changed[rows].any())

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a few streams, and more entities than may be held."""
        yield Example(make=cls, events=[*traffic(1, 120), *traffic(2, 80, videos=3, late_share=0.6)], folded=_last_values)
        yield Example(
            make=lambda: cls(max_entities=12),
            events=traffic(3, 150, videos=40, late_share=0.3),
            folded=_last_values,
            endless=lambda n: event(n, video_id=f"v{n:09d}"),
            bound=12,
        )

    def _values(self, rows: Ints) -> list[EntityCounters]:
        out = []
        for row, one in zip(rows.tolist(), self._tables.published(rows), strict=True):
            kind, _, name = str(self._keys[row]).partition(":")
            out.append(
                EntityCounters(
                    kind=cast(Kind, kind),
                    id=name,
                    version=one.version,
                    updated_ms=one.updated_ms,
                    totals=one.totals,
                    panes=one.panes,
                    decayed=one.decayed,
                    late=one.late,
                    surfaces=one.surfaces,
                )
            )
        return out

    def _apply(self) -> None:
        if len(self._waiting) == 0:
            return
        self._tables.add(self._waiting.columns())
        self._waiting = Pending()

    def _make_rows(self, event: Event) -> tuple[int, ...]:
        """Return the rows that an event counts for, made where they are new."""
        keys = [f"video:{event.video_id}", *(f"tag:{tag}" for tag in tags_of(event))]
        if event.creator_id is not None:
            keys.append(f"creator:{event.creator_id}")
        rows = []
        for key in keys:
            row = self._rows.get(key)
            if row is None:
                if len(self._rows) >= self.max_entities:
                    self._apply()
                    self._forget(keep=set(keys))
                row = self._new_row(key)
                self._tables.version[row] = self._forgetting.floor
            rows.append(row)
        if len(self._known) >= self.max_entities:
            self._known.clear()
        self._known[event.video_id, event.creator_id, event.tags] = tuple(rows)
        return tuple(rows)

    def _new_row(self, key: str) -> int:
        if self._free:
            row = self._free.pop()
            self._keys[row] = key
        else:
            row = len(self._keys)
            self._keys.append(key)
            self._tables.reserve(row + 1)
        self._rows[key] = row
        return row

    def _forget(self, keep: set[str]) -> None:
        idleness = ((at_ms, key) for at_ms, key in self._idleness() if key not in keep)
        for key in self._forgetting.choose(idleness, held=len(self._rows)):
            row = self._rows.pop(key)
            self._forgetting.floor = max(self._forgetting.floor, int(self._tables.version[row]))
            if self._tables.changed[row]:
                self._left += self._values(np.array([row]))
            self._tables.clear(row)
            self._keys[row] = None
            self._free.append(row)
        self._known.clear()

    def _idleness(self) -> Iterable[Idleness]:
        updated_ms = self._tables.updated_ms.tolist()
        return ((updated_ms[row], key) for key, row in self._rows.items())


def _last_values(entities: list[EntityCounters]) -> dict[tuple[str, str], EntityCounters]:
    return {(one.kind, one.id): one for one in entities}
