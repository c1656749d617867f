"""Defines what each interaction means: the one table that counters, profiles, co-watch, trending and labels read.

docs/contracts.md shows it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from schemas.features import Counter
from schemas.telemetry import Event, InteractionType, Source

LONG_VIEW_MS = 18_000
"""A view of this length is long; of a shorter video, one to its end."""
FINISHED_SHARE = 0.95
"""Share of a video from which on a watch time is a finish: players stop a moment before the end."""
REACTED = 0.8
"""What a reaction to a video says of how much of it was watched, where nothing else does."""
MOMENT_MS = 3_000
"""What was on the screen for less, and for less than half of its length, was shown for a moment and not watched."""
SHOWN = 0.05
"""Strength of a video that was shown only, or for a moment."""
WATCHED = 0.1
"""Least strength of a video that was on the screen for longer than a moment."""
LONG_VIEWED = 0.8
"""Strength of a video that was viewed for long, or liked, shared, ... : nobody said how much of it was watched."""
AGAIN = 0.5
"""Strength from which on a later watch makes a video count again that was taken back: half of it, or what says as much."""
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
        Whether it makes the video one that the person took to (`positives`).
    heads
        Heads of the ranker that it is a positive label of.
    trending
        Its weight in the trending lists.
    takes_back
        What it undoes: all that was watched of the video (`video`), its like (`like`), or the follow of its creator (`follow`).
    hides
        What the person is not to be shown any more: the video, its creator.
    """

    counter: Counter | None = None
    adds: int = 1
    seen: bool = False
    watched: float | None = None
    gain: float = 0.0
    positive: bool = False
    heads: tuple[str, ...] = ()
    trending: float = 0.0
    takes_back: Literal["video", "like", "follow"] | None = None
    hides: tuple[Literal["video", "creator"], ...] = ()


_K = InteractionType


def _took(counter: Counter, *heads: str, gain: float, trending: float, watched: float = LONG_VIEWED) -> Meaning:
    return Meaning(counter=counter, seen=True, watched=watched, gain=gain, positive=True, heads=("taken", *heads), trending=trending)


MEANINGS: Mapping[InteractionType, Meaning] = MappingProxyType(
    {
        _K.IMPRESSION: Meaning(counter=Counter.IMPRESSIONS, seen=True),
        _K.WATCH_TIME: Meaning(counter=Counter.WATCHES, seen=True),
        _K.WATCH_25: Meaning(seen=True, watched=0.25),
        _K.WATCH_50: Meaning(seen=True, watched=0.5, gain=0.1),
        _K.WATCH_75: Meaning(seen=True, watched=0.75, gain=0.2),
        _K.FINISH: _took(Counter.FINISHES, "finish", gain=0.6, trending=0.5, watched=1.0),
        _K.LONG_VIEW: _took(Counter.LONG_VIEWS, "long_view", gain=0.5, trending=1.0),
        _K.CLICK: Meaning(counter=Counter.CLICKS, seen=True, gain=0.2, heads=("taken", "click")),
        _K.LIKE: _took(Counter.LIKES, "like", gain=1.0, trending=2.0),
        _K.SHARE: _took(Counter.SHARES, "share", gain=1.0, trending=3.0),
        _K.COMMENT: _took(Counter.COMMENTS, gain=0.7, trending=2.0),
        _K.SAVE: _took(Counter.SAVES, gain=0.8, trending=2.0),
        _K.FOLLOW: _took(Counter.FOLLOWS, "follow", gain=0.8, trending=2.0),
        _K.UNLIKE: Meaning(counter=Counter.LIKES, adds=-1, gain=-1.0, trending=-2.0, takes_back="like"),
        _K.UNFOLLOW: Meaning(counter=Counter.FOLLOWS, adds=-1, gain=-0.8, takes_back="follow"),
        _K.PROFILE_ENTER: Meaning(seen=True, gain=0.3),
        _K.SKIP: Meaning(counter=Counter.SKIPS, seen=True, gain=-0.5, takes_back="video"),
        _K.NOT_INTERESTED: Meaning(
            counter=Counter.NEGATIVES,
            seen=True,
            gain=-2.0,
            heads=("negative",),
            trending=-1.0,
            takes_back="video",
            hides=("video",),
        ),
        _K.REPORT: Meaning(
            counter=Counter.NEGATIVES,
            seen=True,
            gain=-3.0,
            heads=("negative",),
            trending=-4.0,
            takes_back="video",
            hides=("video", "creator"),
        ),
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


def takes_back(event: Event) -> bool:
    """Return whether an event says that the video is none that the person wants: a skip, a report, no interest.

    A skip in an upstream log, or derived from one, does not: what such a log shows plays by itself and was watched for however long.
    """
    kind = event.interaction_type
    return MEANINGS[kind].takes_back == "video" and (kind is not _K.SKIP or event.source == "client")


def strength_of(event: Event) -> float:
    """Return how much of the video an event says was watched.

    Returns
    -------
    float
        0 where it says nothing, SHOWN for what was shown only or for a moment (MOMENT_MS), else from WATCHED to 1. An impression of an
        upstream log is a whole watch; a client's is a showing.

    Examples
    --------
    >>> from schemas.telemetry import Origin
    >>> def strength(kind: str, **fields: object) -> float:
    ...     return strength_of(Event(event_id="e", user_id="u", video_id="v", interaction_type=InteractionType(kind), timestamp_ms=0,
    ...         received_ms=0, origin=Origin(0, 0, 0), **fields))
    >>> strength("impression"), strength("impression", source="upstream"), strength("like"), strength("skip")
    (0.05, 1.0, 0.8, 0.05)
    >>> strength("watch_time", value=9.0, duration_ms=20_000), strength("watch_time", value=0.8, duration_ms=20_000)
    (0.45, 0.05)
    """
    strength = 0.0
    for kind in counted_as(event):
        meaning = MEANINGS[kind]
        if kind is _K.WATCH_TIME:
            strength = max(strength, _watched(watch_ms(event.value), event.duration_ms, event.completed))
        elif kind in _MILESTONES:
            share = _MILESTONES[kind]
            watched_ms = int(share * event.duration_ms) if event.duration_ms else MOMENT_MS
            strength = max(strength, share if watched_ms >= MOMENT_MS or share >= AGAIN else SHOWN)
        elif kind is _K.IMPRESSION and event.source != "client":
            strength = 1.0
        elif meaning.watched is not None:
            strength = max(strength, meaning.watched)
        elif meaning.seen:
            strength = max(strength, SHOWN)
    return strength


def _watched(watched_ms: int, duration_ms: int | None, completed: bool | None) -> float:
    if completed:
        return 1.0
    share = min(watched_ms / duration_ms, 1.0) if duration_ms else 0.0
    if share >= AGAIN:
        return share
    return SHOWN if watched_ms < MOMENT_MS else max(share, WATCHED)


def table() -> str:
    """Return the table of what interactions mean, as Markdown: docs/contracts.md shows it."""
    columns = ("interaction", "counter", "seen", "watched", "interest", "positive", "heads", "trending", "takes back", "hides")
    rows = [columns, ("---",) * len(columns), *(_row(kind, meaning) for kind, meaning in MEANINGS.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(kind: InteractionType, meaning: Meaning) -> tuple[str, ...]:
    counter = "" if meaning.counter is None else f"{meaning.counter.name.lower()} {meaning.adds:+d}"
    watched = "its share" if kind is _K.WATCH_TIME else "" if meaning.watched is None else f"{meaning.watched:g}"
    return (
        f"`{kind.value}`",
        counter,
        "yes" if meaning.seen else "",
        watched,
        f"{meaning.gain:+g}" if meaning.gain else "",
        "yes" if meaning.positive else "",
        ", ".join(meaning.heads),
        f"{meaning.trending:+g}" if meaning.trending else "",
        meaning.takes_back or "",
        ", ".join(meaning.hides),
    )
