"""All side tables of a feed worker behind one `apply`, with the offsets up to which each topic was taken in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from operators.index.segment import Segment
from operators.tables.counters import CounterTable
from operators.tables.items import ItemTable
from operators.tables.keyed import Keyed
from operators.tables.moderation import ModerationTable
from operators.tables.neighbours import NeighbourTable
from operators.tables.trending import TrendingTable
from operators.tables.vectors import VectorTable
from operators.tables.weights import ObjectiveTable, WeightTable
from schemas.catalog import ItemVector, Moderation, SegmentAnnounced
from schemas.codec import DecodeError, decode
from schemas.dlq import ReasonCode
from schemas.features import Counter, EntityCounters
from schemas.learning import Objective, OnlineWeights
from schemas.validity import catalog_item, key_id, key_text, keyed, neighbours, trending_list

Change = Callable[[], None]
"""What a record does to the tables; it cannot raise."""

OBJECTIVE_KEY = "feed"
PANED = (Counter.IMPRESSIONS, Counter.CLICKS, Counter.LONG_VIEWS, Counter.SKIPS)


class Installed:
    """The segment in use, its labels as rows of the tables."""

    __slots__ = ("announced", "rows", "segment")

    def __init__(self, announced: SegmentAnnounced, segment: Segment, rows: NDArray[np.intp]) -> None:
        self.announced = announced
        self.segment = segment
        self.rows = rows


class SideTables:
    """What a worker knows beside the request and the person.

    Parameters
    ----------
    feature_set, n_features
        The ranker's feature set; weights for another one are left out.
    objective
        The objective until a message brings another.
    load_segment
        Returns the segment of an announcement, or None where it cannot be had (then the old one stays). None: announcements are left to the
        caller, who loads them beside the stream and calls `install`.
    dim
        Entries of a content vector.

    Attributes
    ----------
    offsets : dict of "topic/partition" to int
        Per side topic, the next offset that is not yet in the tables.
    rejected : dict of topic to int
        Records that did not fit their contract.
    """

    def __init__(
        self,
        *,
        feature_set: str,
        n_features: int,
        objective: Objective,
        load_segment: Callable[[SegmentAnnounced], Segment | None] | None = None,
        dim: int = 64,
    ) -> None:
        self.load_segment = load_segment
        self.videos = Keyed()
        self.creators = Keyed()
        self.tags = Keyed(capacity=256)
        self.items = ItemTable(videos=self.videos, creators=self.creators, tags=self.tags)
        self.counters = CounterTable(rows=self.videos, paned=PANED)
        self.creator_counters = CounterTable(rows=self.creators, paned=())
        self.tag_counters = CounterTable(rows=self.tags, paned=())
        self.vectors = VectorTable(videos=self.videos, dim=dim)
        self.trending = TrendingTable(videos=self.videos)
        self.neighbours = NeighbourTable(videos=self.videos)
        self.moderation = ModerationTable(videos=self.videos, creators=self.creators)
        self.weights = WeightTable(model="online", feature_set=feature_set, n_features=n_features)
        self.objective = ObjectiveTable(initial=objective)
        self.segment: Installed | None = None
        self.offsets: dict[str, int] = {}
        self.rejected: dict[str, int] = {}
        self._kinds = {"video": self.counters, "creator": self.creator_counters, "tag": self.tag_counters}
        self._prepare: dict[str, Callable[[bytes | None, bytes | None, int], Change]] = {
            "catalog.items": self._item,
            "catalog.vectors": self._vector,
            "catalog.segments": self._segment,
            "features.items": self._counters,
            "features.trending": self._trending,
            "features.neighbours": self._neighbours,
            "models.online": self._weights,
            "control.objective": self._objective,
            "control.moderation": self._moderation,
        }

    @property
    def topics(self) -> tuple[str, ...]:
        """The side topics that the tables are made of."""
        return tuple(self._prepare)

    def apply(self, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take in one record; a null value deletes. A record that does not fit its contract is counted and changes nothing."""
        try:
            change = self._prepare[topic](key, value, offset)
        except DecodeError:
            self.rejected[topic] = self.rejected.get(topic, 0) + 1
        else:
            change()
        self.offsets[f"{topic}/{partition}"] = offset + 1

    def install(self, announced: SegmentAnnounced, segment: Segment) -> None:
        """Put a loaded segment in the place of the one in use."""
        rows = np.array([self.videos.row(video_id) for video_id in segment.ids], dtype=np.intp)
        self.segment = Installed(announced, segment, rows)

    # Each of these decodes and checks a record, touching nothing, and returns the change, which cannot raise.

    def _item(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.items.delete, key_id(key))
        return partial(self.items.upsert, catalog_item(key, value).item)

    def _vector(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.vectors.delete, key_text(key))
        return partial(self.vectors.upsert, keyed(ItemVector, "video_id", key, value), offset)

    def _segment(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None or self.load_segment is None:
            return _nothing
        announced = decode(SegmentAnnounced, value)
        segment = self.load_segment(announced)
        return _nothing if segment is None else partial(self.install, announced, segment)

    def _counters(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is not None:
            entity = keyed(EntityCounters, "key", key, value)
            return partial(self._kinds[entity.kind].upsert, entity)
        kind, _, name = key_text(key).partition(":")
        return partial(self._kinds[kind].forget, name) if kind in self._kinds else _nothing

    def _trending(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.trending.delete, key_text(key))
        return partial(self.trending.upsert, trending_list(key, value))

    def _neighbours(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.neighbours.delete, key_text(key))
        return partial(self.neighbours.put, neighbours(key, value).video_id, value)

    def _weights(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.weights.delete, key_text(key))
        return partial(self.weights.upsert, keyed(OnlineWeights, "model", key, value))

    def _objective(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if key_text(key) != OBJECTIVE_KEY:
            raise DecodeError(ReasonCode.WRONG_TYPE, expected=f"the key {OBJECTIVE_KEY!r}", got=repr(key)[:80], path="key")
        return self.objective.delete if value is None else partial(self.objective.upsert, decode(Objective, value))

    def _moderation(self, key: bytes | None, value: bytes | None, offset: int) -> Change:
        if value is None:
            return partial(self.moderation.delete, key_text(key))
        return partial(self.moderation.upsert, keyed(Moderation, "key", key, value))


def _nothing() -> None:
    """Change nothing."""
