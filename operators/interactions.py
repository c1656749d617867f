"""Defines what each interaction means: the one table that counters, profiles, co-watch, trending and labels read.

docs/contracts.md shows it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from schemas.features import Counter
from schemas.telemetry import Event, InteractionType, Source

LONG_VIEW_MS = 18_000
"""A view of this length is long; of a shorter video, one to its end."""
FINISHED_SHARE = 0.95
"""Share of a video from which on a watch time is a finish: players stop a moment before the end."""
MOMENT_MS = 3_000
"""What was on the screen for less, and for less than half of its length, was shown for a moment and not watched."""
MAX_WATCH_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one interaction does.

    Parameters
    ----------
    counter, adds
        The counter that changes, of the person, the video, its creator and tags, and by how much; a taking-back adds -1.
    seen
        Whether it marks the video as seen.
    watched
        How much of the video it says was watched, 0 to 1; None where it says nothing. A `watch_time` says its share.
    gain
        What it adds to the person's interest in each tag.
    positive
        Whether the person took to the video: it joins the positives and counts as `taken`.
    heads
        Heads of the ranker that it is a positive label of.
    trending
        Its weight in the trending lists.
    takes_back
        What it undoes: the video is no seed and no positive any more (`video`), only a like of it is (`like`), or a follow of the creator
        (`follow`).
    """

    counter: Counter | None = None
    adds: int = 1
    seen: bool = False
    watched: float | None = None
    gain: float = 0.0
    positive: bool = False
    heads: tuple[str, ...] = ()
    trending: float = 0.0
    takes_back: str | None = None


_K = InteractionType

MEANINGS: Mapping[InteractionType, Meaning] = MappingProxyType(
    {
        _K.IMPRESSION: Meaning(counter=Counter.IMPRESSIONS, seen=True),
        _K.WATCH_TIME: Meaning(counter=Counter.WATCHES, seen=True),
        _K.WATCH_25: Meaning(seen=True, watched=0.25),
        _K.WATCH_50: Meaning(seen=True, watched=0.5, gain=0.1),
        _K.WATCH_75: Meaning(seen=True, watched=0.75, gain=0.2),
        _K.FINISH: Meaning(counter=Counter.FINISHES, seen=True, watched=1.0, gain=0.6, positive=True, heads=("finish",)),
        _K.LONG_VIEW: Meaning(counter=Counter.LONG_VIEWS, seen=True, watched=0.8, gain=0.5, positive=True, heads=("long_view",)),
        _K.CLICK: Meaning(counter=Counter.CLICKS, seen=True, gain=0.2, heads=("click",)),
        _K.LIKE: Meaning(counter=Counter.LIKES, seen=True, watched=0.8, gain=1.0, positive=True, heads=("like",)),
        _K.SHARE: Meaning(counter=Counter.SHARES, seen=True, watched=0.8, gain=1.0, positive=True, heads=("share",)),
        _K.COMMENT: Meaning(counter=Counter.COMMENTS, seen=True, watched=0.8, gain=0.7, positive=True),
        _K.SAVE: Meaning(counter=Counter.SAVES, seen=True, watched=0.8, gain=0.8, positive=True),
        _K.FOLLOW: Meaning(counter=Counter.FOLLOWS, seen=True, watched=0.8, gain=0.8, positive=True),
        _K.UNLIKE: Meaning(counter=Counter.LIKES, adds=-1, gain=-1.0, takes_back="like"),
        _K.UNFOLLOW: Meaning(counter=Counter.FOLLOWS, adds=-1, gain=-0.8, takes_back="follow"),
        _K.PROFILE_ENTER: Meaning(seen=True, gain=0.3),
        _K.SKIP: Meaning(counter=Counter.SKIPS, seen=True, gain=-0.5, takes_back="video"),
        _K.NOT_INTERESTED: Meaning(counter=Counter.NEGATIVES, seen=True, gain=-2.0, heads=("negative",), takes_back="video"),
        _K.REPORT: Meaning(counter=Counter.NEGATIVES, seen=True, gain=-3.0, heads=("negative",), takes_back="video"),
    }
)

_MILESTONES = {_K.WATCH_25: 0.25, _K.WATCH_50: 0.5, _K.WATCH_75: 0.75}
_LONG_AND_FINISHED = (_K.FINISH, _K.LONG_VIEW)


def watch_ms(value: float | None) -> int:
    """Return the time watched in whole milliseconds, at most a day, from the seconds of a watch_time event.

    >>> watch_ms(12.4), watch_ms(None), watch_ms(1e307), watch_ms(-1e300)
    (12400, 0, 86400000, 0)
    """
    return 0 if value is None else round(max(0.0, min(value * 1000, MAX_WATCH_MS)))


def is_long_view(watched_ms: int, duration_ms: int | None) -> bool:
    """Return whether a view was long: watched to the end, or for 18 seconds where the video is longer (or of unknown length).

    >>> is_long_view(9_000, 9_000), is_long_view(17_000, 60_000), is_long_view(18_000, None)
    (True, False, True)
    """
    return watched_ms >= LONG_VIEW_MS or (bool(duration_ms) and watched_ms >= FINISHED_SHARE * (duration_ms or 0))


def implied(
    kind: InteractionType, *, value: float | None, completed: bool | None, duration_ms: int | None, source: Source
) -> tuple[InteractionType, ...]:
    """Return what an interaction means beside its own type, in the order of InteractionType.

    An upstream log says itself what a finish and a long view are; nothing is derived from it.

    >>> implied(InteractionType.WATCH_TIME, value=12.4, completed=True, duration_ms=None, source="client")
    (<InteractionType.FINISH: 'finish'>, <InteractionType.LONG_VIEW: 'long_view'>)
    >>> implied(InteractionType.WATCH_TIME, value=20.0, completed=None, duration_ms=60_000, source="client")
    (<InteractionType.LONG_VIEW: 'long_view'>,)
    >>> implied(InteractionType.WATCH_50, value=None, completed=None, duration_ms=60_000, source="client")
    (<InteractionType.LONG_VIEW: 'long_view'>,)
    """
    if source == "upstream":
        return ()
    if kind is _K.FINISH:
        return (_K.LONG_VIEW,)
    if kind is _K.WATCH_TIME:
        watched_ms = watch_ms(value)
        if completed or (duration_ms and watched_ms >= FINISHED_SHARE * duration_ms):
            return _LONG_AND_FINISHED
    elif kind in _MILESTONES:
        watched_ms = int(_MILESTONES[kind] * (duration_ms or 0))
    else:
        return ()
    return (_K.LONG_VIEW,) if is_long_view(watched_ms, duration_ms) else ()


def counted_as(event: Event) -> tuple[InteractionType, ...]:
    """Return all that an event counts as: its own type unless that was counted for the same view already, and what it implies.

    Ingest has decided both (`repeated`, `implies`); every reader goes by this.
    """
    return event.implies if event.repeated else (event.interaction_type, *event.implies)
