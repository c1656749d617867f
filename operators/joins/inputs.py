"""Defines the inputs of the label join, and makes some for its contract checks."""

from __future__ import annotations

import msgspec
import numpy as np

from operators.interactions import implied
from operators.joins.pages import ServedPart
from operators.tokens import TokenClaims, sign
from schemas.feed import ServedItem
from schemas.telemetry import Event, InteractionType, Origin


class Served(msgspec.Struct, frozen=True):
    """A page that was served, and its stamp on the clock of its topic."""

    record: ServedPart
    stamp_ms: int


class Happened(msgspec.Struct, frozen=True):
    """An event, and its stamp on the clock of its topic."""

    event: Event
    stamp_ms: int


class Reached(msgspec.Struct, frozen=True):
    """All that was stamped before has been read: epoch milliseconds per topic, 0 where nothing is known."""

    events_ms: int = 0
    served_ms: int = 0


Input = Served | Happened | Reached


def page(user_id: str, request_id: str, now_ms: int, video_ids: list[str], stamp_ms: int | None = None) -> Served:
    """Return a served page with features that tell its items apart: feature f of item i is f + i / 10."""
    features = np.add.outer(np.arange(3), np.arange(len(video_ids)) / 10).astype(np.float32)
    items = [ServedItem(video_id=one, rank=i, source="s", score=0.0, propensity=1.0) for i, one in enumerate(video_ids)]
    record = ServedPart(
        request_id=request_id,
        user_id=user_id,
        now_ms=now_ms,
        items=items,
        model_versions={"online": "1"},
        feature_set="small",
        features=features.tobytes(),
        request=b'{"user_id":"u","context":{"surface":"1"}}',
    )
    return Served(record, now_ms if stamp_ms is None else stamp_ms)


def event(
    user_id: str,
    video_id: str,
    kind: InteractionType,
    at_ms: int,
    offset: int,
    *,
    token: str | None = None,
    value: float | None = None,
    stamp_ms: int | None = None,
) -> Happened:
    """Return an event: with a token from a client, without one from upstream."""
    one = Event(
        event_id=f"e{offset}",
        user_id=user_id,
        video_id=video_id,
        interaction_type=kind,
        timestamp_ms=at_ms,
        received_ms=at_ms,
        origin=Origin(0, offset, 0),
        value=value,
        tracking_token=token,
        source="upstream" if token is None else "client",
        duration_ms=10_000,
        implies=implied(kind, value=value, completed=None, duration_ms=10_000, source="upstream" if token is None else "client"),
    )
    return Happened(one, at_ms if stamp_ms is None else stamp_ms)


def sample(secret: bytes) -> list[Input]:
    """Return a small life of two people, for the contract checks."""

    def token(request_id: str, video_id: str, position: int, now_ms: int) -> str:
        return sign(secret, TokenClaims(request_id, video_id, position, now_ms, 1.0, "p", "1"))

    kinds, t = InteractionType, 1_000_000
    good = token("r1", "a", 0, t)
    early = token("r3", "g", 1, t + 9_000)
    return [
        page("u", "r1", t, ["a", "b", "c"]),
        event("u", "a", kinds.IMPRESSION, t + 100, 0, token=good),
        event("u", "a", kinds.IMPRESSION, t + 100, 0, token=good),
        event("u", "b", kinds.IMPRESSION, t + 200, 1, token=token("r1", "b", 1, t)),
        event("u", "c", kinds.LIKE, t + 250, 2, token=good),
        event("u", "c", kinds.LIKE, t + 260, 3, token="no token"),  # noqa: S106
        event("u", "b", kinds.SKIP, t + 300, 4, token=token("r1", "b", 1, t)),
        event("u", "a", kinds.WATCH_TIME, t + 900, 5, token=good, value=9.5),
        event("u", "a", kinds.LIKE, t + 1_000, 6, token=good),
        page("w", "r2", t + 1_000, ["d", "e", "f"]),
        event("w", "e", kinds.IMPRESSION, t + 2_000, 7),
        event("w", "z", kinds.IMPRESSION, t + 2_100, 8),
        event("w", "e", kinds.WATCH_TIME, t + 4_000, 9, value=12.0),
        event("w", "e", kinds.LONG_VIEW, t + 4_000, 10),
        event("u", "a", kinds.SHARE, t + 5_000, 11, token=good),
        event("u", "g", kinds.WATCH_TIME, t + 9_100, 12, token=early, value=1.0),
        page("u", "r3", t + 9_000, ["f", "g"], t + 9_500),
        Reached(events_ms=t + 20_000, served_ms=t + 20_000),
        event("u", "a", kinds.WATCH_TIME, t + 21_000, 13, token=good, value=9.5),
        event("u", "a", kinds.LIKE, t + 4_000_000, 14, token=good),
        # Outcomes that wait through a page that does not show their video, for one that does.
        event("w", "k", kinds.IMPRESSION, t + 4_100_100, 15),
        event("w", "k", kinds.CLICK, t + 4_100_150, 16),
        Reached(events_ms=t + 4_102_000, served_ms=t + 4_102_000),
        page("w", "r4", t + 4_100_000, ["d", "e"], t + 4_102_100),
        event("w", "k", kinds.LIKE, t + 4_100_200, 17, stamp_ms=t + 4_102_150),
        page("w", "r5", t + 4_100_050, ["d", "k"], t + 4_102_200),
    ]
