"""Counts how many events carry the optional fields that other parts need, so that a missing one shows in `status`."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.telemetry import Event, InteractionType


def signals_of(events: Sequence[Event]) -> dict[str, int]:
    """Return how many events there are, and how many of them bring what.

    >>> signals_of([])
    {'events': 0, 'impressions': 0, 'tracking_tokens': 0, 'regions': 0, 'listed_videos': 0}
    """
    return {
        "events": len(events),
        "impressions": sum(one.interaction_type is InteractionType.IMPRESSION for one in events),
        "tracking_tokens": sum(bool(one.tracking_token) for one in events),
        "regions": sum(one.context is not None and bool(one.context.region) for one in events),
        "listed_videos": sum(one.listed for one in events),
    }
