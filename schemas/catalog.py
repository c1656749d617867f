"""The catalogue: items, their content vectors, and the index segments built from those."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import ClaimedMs, DurationMs, EpochMs, Id, Name, Source

MAX_TITLE = 512
MAX_DESCRIPTION = 4_096
MAX_TAGS = 64
MAX_TAG = 128
MAX_URL = 2_048
MAX_FIELDS = 16
MAX_FIELD_NAME = 64
MAX_FIELD_TEXT = 256

# What is longer is cut or left out by schemas.validity, not refused: so the bound is told to readers of the JSON Schema only.
Title = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TITLE})]
Description = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_DESCRIPTION})]
Tag = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TAG})]
Tags = Annotated[tuple[Tag, ...], Meta(extra_json_schema={"maxItems": MAX_TAGS})]
Url = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_URL})]
FieldName = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_FIELD_NAME})]
FieldValue = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_FIELD_TEXT})] | int | float | bool
Fields = Annotated[dict[FieldName, FieldValue], Meta(extra_json_schema={"maxProperties": MAX_FIELDS})]


class CatalogItem(Message, frozen=True, kw_only=True, gc=False):
    """A video's record on `catalog.items` (compacted; key: video_id; a null value deletes it).

    `fields` are free: they travel to the answer as they are. What a reader takes of a record is decided by schemas.validity alone.
    """

    TYPE: ClassVar[str] = "penstock.catalog.item"

    video_id: Id
    creator_id: Name | None = None
    title: Title = ""
    description: Description = ""
    tags: Tags = ()
    category: Name | None = None
    audio_id: Name | None = None
    duration_ms: DurationMs | None = None
    language: Name | None = None
    region: Name | None = None
    age_rating: Annotated[int, Meta(ge=0, le=21)] = 0
    uploaded_ms: ClaimedMs | None = None
    expires_ms: ClaimedMs | None = None
    video_url: Url | None = None
    thumbnail_url: Url | None = None
    prefetch_url: Url | None = None
    fields: Fields = {}
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

    `path` is relative to the segment store; `vectors_offset` is the first offset of `catalog.vectors` that the segment does not hold;
    `size_bytes` is what the files have together.
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
    size_bytes: int | None = None


class Moderation(Message, frozen=True, kw_only=True):
    """A video or creator taken out of (or let back into) every path (`control.moderation`, compacted; key: `video:ID` | `creator:ID`)."""

    TYPE: ClassVar[str] = "penstock.control.moderation"

    kind: Literal["video", "creator"]
    id: Id
    blocked: bool
    reason: Annotated[str, Meta(max_length=512)] = ""
    at_ms: EpochMs

    @property
    def key(self) -> str:
        """The key of the record."""
        return f"{self.kind}:{self.id}"
