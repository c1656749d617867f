"""Users: what is known of a person beside what the person did."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import ClaimedMs, Id, Name

MAX_ANSWERS = 32


class UserRecord(Message, frozen=True, kw_only=True):
    """A person's record on `users.records` (compacted; key: user_id; a null value deletes it).

    `birth_year` and `age` (as of `updated_ms`, by default the broker's stamp) tell how old the person is; where they disagree, the younger
    counts. `quiz` holds the tags that the person chose when asked; `guest` marks somebody known by a device only, and `merged_into` the
    user that a guest became.
    """

    TYPE: ClassVar[str] = "penstock.users.record"

    user_id: Id
    birth_year: Annotated[int, Meta(ge=1900, le=2100)] | None = None
    age: Annotated[int, Meta(ge=0, le=130)] | None = None
    region: Name | None = None
    language: Name | None = None
    device_type: Name | None = None
    created_ms: ClaimedMs | None = None
    updated_ms: ClaimedMs | None = None
    quiz: Annotated[tuple[Name, ...], Meta(max_length=MAX_ANSWERS)] = ()
    guest: bool = False
    merged_into: Id | None = None
