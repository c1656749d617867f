"""How strongly an interaction speaks for a video and its tags."""

from __future__ import annotations

from datetime import timedelta

from schemas.telemetry import InteractionType

INTEREST_HALF_LIFE = timedelta(days=7)
"""Time in which a person's weight of a tag halves."""

GAINS: dict[InteractionType, float] = {
    InteractionType.CLICK: 0.2,
    InteractionType.PROFILE_ENTER: 0.3,
    InteractionType.LONG_VIEW: 0.5,
    InteractionType.FINISH: 0.6,
    InteractionType.COMMENT: 0.7,
    InteractionType.SAVE: 0.8,
    InteractionType.FOLLOW: 0.8,
    InteractionType.LIKE: 1.0,
    InteractionType.SHARE: 1.0,
    InteractionType.SKIP: -0.5,
    InteractionType.NOT_INTERESTED: -2.0,
    InteractionType.REPORT: -3.0,
}
"""What an interaction adds to the person's weight of each tag of the video."""

POSITIVE = frozenset(
    {
        InteractionType.LONG_VIEW,
        InteractionType.FINISH,
        InteractionType.COMMENT,
        InteractionType.SAVE,
        InteractionType.FOLLOW,
        InteractionType.LIKE,
        InteractionType.SHARE,
    }
)
"""Interactions that make a video one that the person took to."""

MAX_STRENGTH = 3.0
"""Where the gains of one video stop adding up."""

SHOWN = 0.05
"""Strength of a video in `recent` that was shown; watching it adds up to 0.95 by the share watched."""


def faded(weight: float, age_ms: int, half_life_ms: int) -> float:
    """Return a weight after a time.

    weight · 2^(−age / half_life)

    >>> faded(2.0, 3_600_000, 3_600_000)
    1.0
    """
    return weight if age_ms <= 0 or not weight else float(weight * 2.0 ** (-age_ms / half_life_ms))
