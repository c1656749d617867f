"""Input for the contract checks of co-occurrence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from operators.base import Example
from operators.cooccurrence.watched import How, Watched, WatchedBefore, Watching
from schemas.telemetry import Origin


def some(n: int, videos: int = 12) -> Watching:
    """Return the n-th of an endless stream of watches of so many videos, now and then a history."""
    if n % 11 == 0:
        return WatchedBefore(f"u{n % 7}", [f"v{(n * k) % videos}" for k in range(1, 5)])
    return Watched(f"u{n % 5}", f"v{n * n % videos}", n * 1_000, Origin(0, n, 0), How(0 if n % 4 else n // 4 % 3))


def cowatch_examples(kind: type) -> Iterator[Example[Any, Any]]:
    """Yield watches of which some come again after a crash, and more videos, pairs and people than may be held."""
    events = [some(n) for n in range(70)]
    events += [events[68], events[69], some(70)]
    yield Example(make=lambda: kind(recent=3, remembered=6, change=0), events=events)
    yield Example(
        make=lambda: kind(recent=2, remembered=4, listed=3, max_videos=8, max_pairs=4, max_users=4, tidy_every=5, change=0),
        events=[some(n, 31) for n in range(70)],
        endless=lambda n: some(n, 10**9),
        bound=300,
    )
