"""Counters of videos, creators and tags, which share a topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np

from operators.tables.counters import CounterTable
from operators.tables.keyed import Keyed
from operators.tables.view import Shared, SideView, ViewExample
from operators.windows.decay import N_DECAYED
from schemas.features import N_COUNTERS, Counter, Decayed, EntityCounters, Pane
from schemas.validity import keyed

PANED = (Counter.IMPRESSIONS, Counter.CLICKS, Counter.LONG_VIEWS, Counter.SKIPS)
_MINUTE = 28_000_000


class EntityCounterTables(SideView[EntityCounters]):
    """One table of counters for each kind of entity; windows are kept of videos only.

    Parameters
    ----------
    videos, creators, tags
        The row spaces.

    Attributes
    ----------
    kinds : dict of str to CounterTable
        The tables, by the kind of their entities.
    """

    topic = "features.items"
    message = EntityCounters

    def __init__(self, *, videos: Keyed, creators: Keyed, tags: Keyed) -> None:
        self.videos = videos
        self.creators = creators
        self.tags = tags
        self.kinds = {
            "video": CounterTable(rows=videos, paned=PANED),
            "creator": CounterTable(rows=creators, paned=()),
            "tag": CounterTable(rows=tags, paned=()),
        }

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the tables of a worker, empty."""
        return cls(videos=shared.videos, creators=shared.creators, tags=shared.tags)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> EntityCounters:
        """Decode counters."""
        return keyed(EntityCounters, "key", key, value)

    def apply(self, entity: EntityCounters) -> None:
        """Take in an entity's counters as they stand now."""
        self.kinds[entity.kind].upsert(entity)

    def delete(self, key: str) -> None:
        """Set an entity's counters to nothing; `key` is `video:ID`, `creator:ID` or `tag:NAME`."""
        kind, _, name = key.partition(":")
        if kind in self.kinds:
            self.kinds[kind].forget(name)

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield counters of one entity of each kind and of a second video."""
        yield ViewExample(
            make=lambda: cls(videos=Keyed(), creators=Keyed(), tags=Keyed()),
            records=[_counters("video", "a", 3), _counters("video", "b", 4), _counters("creator", "a", 5), _counters("tag", "a:b", 6)],
            read=_read,
            endless=lambda n: _counters("video", f"v{n % 20}", n % 1_000),
            bound=200,
        )


def _counters(kind: str, name: str, n: int) -> tuple[str, EntityCounters]:
    entity = EntityCounters(
        kind=kind,  # type: ignore[arg-type]
        id=name,
        version=1,
        updated_ms=1,
        totals=[n] * N_COUNTERS,
        panes=[Pane(_MINUTE + n % 5, [1] * N_COUNTERS)],
        decayed=Decayed(at_ms=_MINUTE * 60_000, values=[float(n)] * N_DECAYED),
        surfaces={"s": 1.0 + n, "t": 2.0},
    )
    return entity.key, entity


def _read(tables: EntityCounterTables) -> object:
    said = {}
    for kind, table in tables.kinds.items():
        for name in ("a", "b", "a:b"):
            row = table.rows.find(name)
            if row >= 0 and table.totals.values[row].any():
                rows, now_ms = np.array([row]), (_MINUTE + 5) * 60_000
                surfaces = [table.on_surface(rows, surface, now_ms) for surface in ("s", "t")] if table.paned else []
                said[kind, name] = (
                    table.totals.values[row].tolist(),
                    table.windows(rows, (3, 30), now_ms).tolist(),
                    [table.decayed_at(rows, place, now_ms).tolist() for place in range(N_DECAYED)],
                    [None if one is None else one.tolist() for one in surfaces],
                )
    return said
