"""Sets how a person's interest fades, and how much is kept of a person."""

from __future__ import annotations

from datetime import timedelta

INTEREST_HALF_LIFE = timedelta(days=2)
"""Time in which a person's weight of a tag halves: for who writes it and for who reads it."""

MAX_STRENGTH = 3.0
"""Where the gains of one video stop adding up."""

TAGS_KEPT = 128
"""Tags held of a person; those that nothing happened to for longest make room."""

QUIZ_GAIN = 0.3
"""What choosing a tag when asked adds to its weight, once: enough to begin with, less than a long view."""


def faded(weight: float, age_ms: int, half_life_ms: int) -> float:
    """Return a weight after a time.

    weight · 2^(−age / half_life)

    >>> faded(2.0, 3_600_000, 3_600_000)
    1.0
    """
    return weight if age_ms <= 0 or not weight else float(weight * 2.0 ** (-age_ms / half_life_ms))
