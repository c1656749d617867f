"""Telemetry: what clients send (`telemetry.raw`), and what ingest makes of it (`telemetry.events`)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from schemas.base import Message

ONE_LINE = r"^[^\x00-\x08\x0a-\x1f\x7f]*$(?!\n)"
"""Text without control characters other than the tab: lineage and labels keep lists of ids one to a line."""

is_one_line = re.compile(ONE_LINE).match

MAX_ID = 128
MAX_CONTEXT_TEXT = 256
MAX_TOKEN = 1_024
MAX_EVENTS = 1_000
MAX_BATCH_BYTES = 262_144
"""Bytes of a batch that ingest takes."""
MAX_HISTORY = 10_000

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID, pattern=ONE_LINE)]
Name = Annotated[str, Meta(max_length=MAX_ID, pattern=ONE_LINE)]
"""The name of a creator, a category, a sound, a region, a language; empty means unknown."""
ContextText = Annotated[str, Meta(max_length=MAX_CONTEXT_TEXT)]
Token = Annotated[str, Meta(max_length=MAX_TOKEN)]
DurationMs = Annotated[int, Meta(ge=0, le=864_000_000)]
EpochMs = Annotated[int, Meta(ge=0, le=32_503_680_000_000)]
ClaimedMs = Annotated[int, Meta(ge=0, le=2**62)]
"""Epoch milliseconds as somebody else wrote them: schemas.validity tells seconds and microseconds from what they claim to be."""


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
    UNLIKE = "unlike"
    UNFOLLOW = "unfollow"
    PROFILE_ENTER = "profile_enter"
    SKIP = "skip"
    NOT_INTERESTED = "not_interested"
    REPORT = "report"


Source = Literal["client", "upstream", "derived"]


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where and on what a person was; every field may be unknown, and empty is unknown (schemas.locale for region and language)."""

    surface: ContextText | None = None
    session_id: ContextText | None = None
    device: ContextText | None = None
    region: ContextText | None = None
    language: ContextText | None = None


class RawEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One interaction as a client sends it; `value` is seconds for watch_time and may be a string ("12.4")."""

    event_id: Id
    video_id: Id
    interaction_type: InteractionType
    timestamp: ClaimedMs
    value: float | Annotated[str, Meta(max_length=64)] | None = None
    completed: bool | None = None
    context: Context | None = None
    tracking_token: Token | None = None
    source: Source = "client"


class TelemetryBatch(Message, frozen=True, kw_only=True):
    """A batch of one person's interactions, as it stands on `telemetry.raw` (key: user_id).

    `context` holds for every event of the batch, field by field, where the event itself does not say otherwise.
    """

    TYPE: ClassVar[str] = "penstock.telemetry.batch"

    user_id: Id
    device_id: Id | None = None
    context: Context | None = None
    events: Annotated[list[RawEvent], Meta(min_length=1, max_length=MAX_EVENTS)]


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a record came from; orders the events of one raw partition, so repeats after a crash fold."""

    partition: Annotated[int, Meta(ge=0, le=2**31)]
    offset: Annotated[int, Meta(ge=0, le=2**62)]
    index: Annotated[int, Meta(ge=0, le=2**31)]


class Event(Message, frozen=True, kw_only=True):
    """One clean interaction on `telemetry.events` (key: user_id), joined with the catalogue as it stood at ingest.

    `value` is seconds for watch_time; `received_ms` is the broker's stamp of the raw record; `creator_id`, `tags`, `category` and
    `duration_ms` are unknown (None, empty) where the video is not in the catalogue (`listed` is False). `implies` names what the event
    means beside its own type (a `watch_time` to the end is a `finish` and a `long_view`); `repeated` says that its own type was counted
    already for the same view, so that it counts for nothing.
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
    category: str | None = None
    listed: bool = True
    implies: tuple[InteractionType, ...] = ()
    repeated: bool = False


class UserHistory(Message, frozen=True, kw_only=True):
    """What a person did before the stream began, oldest first and without event times (`telemetry.history`, key: user_id).

    It never feeds a time window: it warms the seen filter, the recent positives and the co-visitation counts only.
    """

    TYPE: ClassVar[str] = "penstock.telemetry.history"

    user_id: Id
    watched: Annotated[list[Id], Meta(max_length=MAX_HISTORY)] = []
    liked: Annotated[list[Id], Meta(max_length=MAX_HISTORY)] = []
    long_viewed: Annotated[list[Id], Meta(max_length=MAX_HISTORY)] = []
    source: Source = "upstream"
