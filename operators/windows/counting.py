"""Turns an event into counter increments: the stream counts by them, and verification recounts by them."""

from __future__ import annotations

from operators.interactions import MEANINGS, watch_ms
from schemas.catalog import MAX_TAGS
from schemas.features import Counter
from schemas.telemetry import Event, InteractionType

_WATCH_TIME = InteractionType.WATCH_TIME
_ADDS: dict[InteractionType, tuple[tuple[Counter, int], ...]] = {
    kind: () if meaning.counter is None else ((meaning.counter, meaning.adds),) for kind, meaning in MEANINGS.items()
}


def completion_permille(watched_ms: int, duration_ms: int | None, completed: bool | None) -> int:
    """Return the share of a video that was watched, in 1/1000, at most 1000 (loops count once).

    A video that the client says was completed counts as whole; any other whose duration is unknown as 0.

    >>> completion_permille(5_000, 20_000, None), completion_permille(50_000, 20_000, None), completion_permille(5_000, None, True)
    (250, 1000, 1000)
    """
    if completed:
        return 1000
    if duration_ms is None or duration_ms <= 0:
        return 0
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
    kind = event.interaction_type
    adds = () if event.repeated else _ADDS[kind]
    for implied in event.implies:
        adds += _ADDS[implied]
    if kind is _WATCH_TIME and not event.repeated:
        watched_ms = watch_ms(event.value)
        share = completion_permille(watched_ms, event.duration_ms, event.completed)
        adds += ((Counter.WATCH_MS, watched_ms), (Counter.COMPLETION_PERMILLE, share))
    return adds


def tags_of(event: Event) -> tuple[str, ...]:
    """Return the tags that an event counts for, each once: MAX_TAGS at most, so that the cost of an event is bounded."""
    tags = event.tags
    return tags if len(tags) < 2 else tuple(dict.fromkeys(tags[:MAX_TAGS]))
