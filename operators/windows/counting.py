"""What an event counts for: the one definition that features, verification and readers share."""

from __future__ import annotations

from schemas.features import Counter
from schemas.telemetry import Event, InteractionType

COUNTED: dict[InteractionType, Counter] = {
    InteractionType.IMPRESSION: Counter.IMPRESSIONS,
    InteractionType.CLICK: Counter.CLICKS,
    InteractionType.LIKE: Counter.LIKES,
    InteractionType.SHARE: Counter.SHARES,
    InteractionType.COMMENT: Counter.COMMENTS,
    InteractionType.SAVE: Counter.SAVES,
    InteractionType.FOLLOW: Counter.FOLLOWS,
    InteractionType.SKIP: Counter.SKIPS,
    InteractionType.FINISH: Counter.FINISHES,
    InteractionType.LONG_VIEW: Counter.LONG_VIEWS,
    InteractionType.NOT_INTERESTED: Counter.NEGATIVES,
    InteractionType.REPORT: Counter.NEGATIVES,
    InteractionType.WATCH_TIME: Counter.WATCHES,
}
"""The counter that an interaction adds 1 to; milestones (watch_25, watch_50, watch_75) and profile_enter add to none."""

MAX_WATCH_MS = 86_400_000

_ONES: dict[InteractionType, tuple[tuple[Counter, int], ...]] = {
    kind: ((COUNTED[kind], 1),) if kind in COUNTED else () for kind in InteractionType if kind is not InteractionType.WATCH_TIME
}


def watch_ms(value: float | None) -> int:
    """Return the time watched in whole milliseconds, at most a day, from the seconds of a watch_time event.

    >>> watch_ms(12.4), watch_ms(None), watch_ms(1e307), watch_ms(-1e300)
    (12400, 0, 86400000, 0)
    """
    return 0 if value is None else round(max(0.0, min(value * 1000, MAX_WATCH_MS)))


def completion_permille(watched_ms: int, duration_ms: int | None, completed: bool | None) -> int:
    """Return the share of a video that was watched, in 1/1000, at most 1000 (loops count once).

    Where the duration is unknown, a video that the client says was completed counts as whole, any other as 0.

    >>> completion_permille(5_000, 20_000, None), completion_permille(50_000, 20_000, None), completion_permille(5_000, None, True)
    (250, 1000, 1000)
    """
    if duration_ms is None or duration_ms <= 0:
        return 1000 if completed else 0
    return min(1000 * watched_ms // duration_ms, 1000)


def increments(event: Event) -> tuple[tuple[Counter, int], ...]:
    """Return what an event adds to each entity that it names: its person, video, creator, each tag, and person×tag.

    Examples
    --------
    >>> from schemas.telemetry import Origin
    >>> watch = Event(event_id="e", user_id="u", video_id="v", interaction_type=InteractionType.WATCH_TIME, timestamp_ms=0, received_ms=0,
    ...     origin=Origin(0, 0, 0), value=5.0, duration_ms=20_000)
    >>> [(counter.name, n) for counter, n in increments(watch)]
    [('WATCHES', 1), ('WATCH_MS', 5000), ('COMPLETION_PERMILLE', 250)]
    """
    ones = _ONES.get(event.interaction_type)
    if ones is not None:
        return ones
    watched_ms = watch_ms(event.value)
    return (
        (Counter.WATCHES, 1),
        (Counter.WATCH_MS, watched_ms),
        (Counter.COMPLETION_PERMILLE, completion_permille(watched_ms, event.duration_ms, event.completed)),
    )
