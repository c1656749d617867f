"""Telemetry: what clients send (`telemetry.raw`), and what ingest makes of it (`telemetry.events`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from schemas.base import Message

Id = Annotated[str, Meta(min_length=1, max_length=128)]
DurationMs = Annotated[int, Meta(ge=0, le=864_000_000)]
EpochMs = Annotated[int, Meta(ge=0, le=32_503_680_000_000)]


class InteractionType(StrEnum):
    """What a person did with a video."""

    IMPRESSION = "impression"
    WATCH_TIME = "watch_time"
    WATCH_25 = "watch_25"
    WATCH_50 = "watch_50"
    WATCH_75 = "watch_75"
    FINISH = "finish"
    LONG_VIEW = "long_view"
    CLICK = "click"
    LIKE = "like"
    SHARE = "share"
    COMMENT = "comment"
    SAVE = "save"
    FOLLOW = "follow"
    PROFILE_ENTER = "profile_enter"
    SKIP = "skip"
    NOT_INTERESTED = "not_interested"
    REPORT = "report"


Source = Literal["client", "upstream", "derived"]


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where and on what a person was; every field may be unknown."""

    surface: str | None = None
    session_id: str | None = None
    device: str | None = None
    region: str | None = None
    language: str | None = None


class RawEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One interaction as a client sends it; `value` is seconds for watch_time and may be a string ("12.4")."""

    event_id: Id
    video_id: Id
    interaction_type: InteractionType
    timestamp: EpochMs
    value: float | str | None = None
    completed: bool | None = None
    context: Context | None = None
    tracking_token: Annotated[str, Meta(max_length=512)] | None = None
    source: Source = "client"


class TelemetryBatch(Message, frozen=True, kw_only=True):
    """A batch of one person's interactions, as it stands on `telemetry.raw` (key: user_id)."""

    TYPE: ClassVar[str] = "penstock.telemetry.batch"

    user_id: Id
    device_id: Id | None = None
    events: Annotated[list[RawEvent], Meta(min_length=1, max_length=1_000)]


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a record came from; orders the events of one raw partition, so repeats after a crash fold."""

    partition: Annotated[int, Meta(ge=0, le=2**31)]
    offset: Annotated[int, Meta(ge=0, le=2**62)]
    index: Annotated[int, Meta(ge=0, le=2**31)]


class Event(Message, frozen=True, kw_only=True):
    """One clean interaction on `telemetry.events` (key: user_id), joined with the catalogue as it stood at ingest.

    `value` is seconds for watch_time; `received_ms` is the broker's stamp of the raw record; `creator_id`, `tags` and `duration_ms` are
    unknown (None, empty) where the video is not in the catalogue.
    """

    TYPE: ClassVar[str] = "penstock.telemetry.event"

    event_id: Id
    user_id: Id
    video_id: Id
    interaction_type: InteractionType
    timestamp_ms: EpochMs
    received_ms: EpochMs
    origin: Origin
    value: float | None = None
    completed: bool | None = None
    device_id: str | None = None
    context: Context | None = None
    tracking_token: str | None = None
    source: Source = "client"
    creator_id: str | None = None
    tags: tuple[str, ...] = ()
    duration_ms: DurationMs | None = None


class UserHistory(Message, frozen=True, kw_only=True):
    """What a person did before the stream began, oldest first and without event times (`telemetry.history`, key: user_id).

    It never feeds a time window: it warms the seen filter, the recent positives and the co-visitation counts only.
    """

    TYPE: ClassVar[str] = "penstock.telemetry.history"

    user_id: Id
    watched: list[str] = []
    liked: list[str] = []
    long_viewed: list[str] = []
    source: Source = "upstream"
