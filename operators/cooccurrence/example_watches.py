"""Input for the contract checks of co-occurrence."""

from __future__ import annotations

from operators.cooccurrence.watched import How, Watched, WatchedBefore, Watching
from schemas.telemetry import Origin


def some(n: int, videos: int = 12) -> Watching:
    """Return the n-th of an endless stream of watches of so many videos, now and then a history."""
    if n % 11 == 0:
        return WatchedBefore(f"u{n % 7}", [f"v{(n * k) % videos}" for k in range(1, 5)])
    return Watched(f"u{n % 5}", f"v{n * n % videos}", n * 1_000, Origin(0, n, 0), How(0 if n % 4 else n // 4 % 3))
