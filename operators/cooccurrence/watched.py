"""What co-occurrence reads of the stream: who watched what, compact enough to be kept in a journal."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from schemas.telemetry import Event, InteractionType, Origin, UserHistory

WATCHES = frozenset({InteractionType.IMPRESSION})
"""The interactions that count as a watch. In a feed that plays by itself what was shown was watched, for however long."""


class Watched(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """One video shown to one person, and where the event came from."""

    user_id: str
    video_id: str
    at_ms: int
    origin: Origin


class WatchedBefore(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What a person watched before the stream, oldest first."""

    user_id: str
    video_ids: list[str]


Watching: TypeAlias = Watched | WatchedBefore


def watching(message: Event | UserHistory) -> Watching | None:
    """Return what a message says about watching, or None.

    >>> watching(UserHistory(user_id="u", watched=["a", "b"]))
    WatchedBefore(user_id='u', video_ids=['a', 'b'])
    """
    if isinstance(message, UserHistory):
        return WatchedBefore(message.user_id, message.watched) if message.watched else None
    if message.interaction_type not in WATCHES:
        return None
    return Watched(message.user_id, message.video_id, message.timestamp_ms, message.origin)
