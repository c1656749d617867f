"""The catalogue: items, their content vectors, and the index segments built from those."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import DurationMs, EpochMs, Id, Source


class CatalogItem(Message, frozen=True, kw_only=True):
    """A video's record on `catalog.items` (compacted; key: video_id; a null value deletes it)."""

    TYPE: ClassVar[str] = "penstock.catalog.item"

    video_id: Id
    creator_id: str | None = None
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    category: str | None = None
    audio_id: str | None = None
    duration_ms: DurationMs | None = None
    language: str | None = None
    region: str | None = None
    age_rating: Annotated[int, Meta(ge=0, le=21)] = 0
    uploaded_ms: EpochMs | None = None
    video_url: str | None = None
    thumbnail_url: str | None = None
    prefetch_url: str | None = None
    source: Source = "client"


class ItemVector(Message, frozen=True, kw_only=True):
    """A video's content vector and SimHash on `catalog.vectors` (compacted; key: video_id; null deletes).

    `vector` is int8 of shape (dim,): the unit vector times 127, rounded. Inner products of such vectors are exact in float32 up to 1,040
    dimensions, in whatever order they are summed, which is what exact replay needs.
    """

    TYPE: ClassVar[str] = "penstock.catalog.vector"

    video_id: Id
    vector: bytes
    simhash: int
    catalog_offset: int


class SegmentAnnounced(Message, frozen=True, kw_only=True):
    """An immutable index segment is ready to be swapped in (`catalog.segments`, compacted; key: "items").

    `path` is relative to the segment store; `vectors_offset` is the first offset of `catalog.vectors` that the segment does not hold.
    """

    TYPE: ClassVar[str] = "penstock.catalog.segment"

    segment_id: str
    kind: Literal["hnsw", "exact"]
    path: str
    sha256: str
    dim: int
    count: int
    built_ms: EpochMs
    vectors_offset: int
    recall_probe: float | None = None
    parameters: dict[str, int] = {}


class Moderation(Message, frozen=True, kw_only=True):
    """A video or creator taken out of (or let back into) every path (`control.moderation`, compacted; key: `video:ID` | `creator:ID`)."""

    TYPE: ClassVar[str] = "penstock.control.moderation"

    kind: Literal["video", "creator"]
    id: Id
    blocked: bool
    reason: str = ""
    at_ms: EpochMs
