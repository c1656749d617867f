"""Turns events and histories into watches for the co-occurrence counts, small enough to be kept in a journal."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

from operators.interactions import SHOWN, strength_of, takes_back
from schemas.telemetry import Event, InteractionType, Origin, UserHistory


class How(IntEnum):
    """What is told of a watch: the showing that it began with, what came of one, or that it was none."""

    SHOWN = 0
    WATCHED = 1
    TAKEN_BACK = 2


class Watched(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """One video watched by one person, and where the event came from."""

    user_id: str
    video_id: str
    at_ms: int
    origin: Origin
    how: How = How.SHOWN


class WatchedBefore(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What a person watched before the stream, oldest first."""

    user_id: str
    video_ids: list[str]


Watching: TypeAlias = Watched | WatchedBefore


def watching(message: Event | UserHistory) -> Watching | None:
    """Return what a message says about watching, or None where it says that a video was only shown, or for a moment, or nothing.

    >>> watching(UserHistory(user_id="u", watched=["a", "b"]))
    WatchedBefore(user_id='u', video_ids=['a', 'b'])
    """
    if isinstance(message, UserHistory):
        return WatchedBefore(message.user_id, message.watched) if message.watched else None
    if takes_back(message):
        how = How.TAKEN_BACK
    elif strength_of(message) <= SHOWN:
        return None
    else:
        how = How.SHOWN if message.interaction_type is InteractionType.IMPRESSION else How.WATCHED
    return Watched(message.user_id, message.video_id, message.timestamp_ms, message.origin, how)
