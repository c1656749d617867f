"""What a person did with a served item, and what that means to the heads."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from operators.tokens import TokenClaims
from operators.windows.counting import MAX_WATCH_MS, watch_ms
from schemas.telemetry import Event, InteractionType

Bits = int

BIT: dict[InteractionType, Bits] = {kind: 1 << place for place, kind in enumerate(InteractionType)}

POSITIVE: Bits = sum(
    BIT[kind]
    for kind in (
        InteractionType.FINISH,
        InteractionType.LONG_VIEW,
        InteractionType.CLICK,
        InteractionType.LIKE,
        InteractionType.SHARE,
        InteractionType.COMMENT,
        InteractionType.SAVE,
        InteractionType.FOLLOW,
    )
)
NEGATIVE: Bits = BIT[InteractionType.NOT_INTERESTED] | BIT[InteractionType.REPORT]

HEAD_BITS: dict[str, Bits] = {
    "click": BIT[InteractionType.CLICK],
    "long_view": BIT[InteractionType.LONG_VIEW],
    "like": BIT[InteractionType.LIKE],
    "finish": BIT[InteractionType.FINISH],
    "share": BIT[InteractionType.SHARE],
    "negative": NEGATIVE,
}

LONG_VIEW_MS = 18_000

CLOSES_AFTER: dict[InteractionType, timedelta] = {
    InteractionType.WATCH_TIME: timedelta(milliseconds=300),
    InteractionType.SKIP: timedelta(milliseconds=300),
    InteractionType.NOT_INTERESTED: timedelta(milliseconds=300),
    InteractionType.REPORT: timedelta(milliseconds=300),
    InteractionType.FINISH: timedelta(seconds=5),
}
"""How long after the outcome that ends a view others of the same view are still taken in."""


def is_long_view(watch_ms: int, duration_ms: int | None) -> bool:
    """Return whether a view was long: watched to the end, or for 18 seconds where the video is longer (or of unknown length).

    >>> is_long_view(9_000, 9_000), is_long_view(17_000, 60_000), is_long_view(18_000, None)
    (True, False, True)
    """
    return watch_ms >= LONG_VIEW_MS or (bool(duration_ms) and watch_ms >= (duration_ms or 0))


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """One interaction that is to be joined.

    `stamp_ms` is its time on the clock of its topic, `watermark_ms` the newest event time that stood before it there; `request_id`,
    `position` and `now_ms` are what its token claims (None, -1, 0 without one).
    """

    user_id: str
    video_id: str
    kind: InteractionType
    at_ms: int
    stamp_ms: int
    watermark_ms: int
    watch_ms: int
    bits: Bits
    duration_ms: int
    request_id: str | None
    position: int
    now_ms: int


class View(msgspec.Struct, array_like=True):
    """A served item that somebody has seen, until its example is made.

    It takes in what came up to `close_stamp_ms` on the topic's clock and before event time passed `deadline_ms`.
    """

    user_id: str
    request_id: str
    video_id: str
    position: int
    by_token: bool
    close_stamp_ms: int
    deadline_ms: int
    bits: Bits = 0
    watch_ms: int = 0
    last_ms: int = 0

    def takes(self, outcome: Outcome) -> bool:
        """Return whether the outcome came before the view was closed."""
        return outcome.stamp_ms <= self.close_stamp_ms and outcome.watermark_ms <= self.deadline_ms

    def add(self, outcome: Outcome, closes_after_ms: int | None) -> None:
        """Take in an outcome; one that ends the view brings its closing forward."""
        self.bits |= outcome.bits
        self.watch_ms = max(self.watch_ms, outcome.watch_ms)
        self.last_ms = max(self.last_ms, outcome.at_ms)
        if closes_after_ms is not None:
            self.close_stamp_ms = min(self.close_stamp_ms, outcome.stamp_ms + closes_after_ms)

    @property
    def is_positive(self) -> bool:
        """Whether the person took to the item."""
        return bool(self.bits & POSITIVE) and not self.bits & NEGATIVE

    def labels(self) -> dict[str, int]:
        """Return 0 or 1 for each head."""
        return {head: int(bool(self.bits & bits)) for head, bits in HEAD_BITS.items()} | {"taken": int(self.is_positive)}


def outcome_of(event: Event, claims: TokenClaims | None, *, stamp_ms: int, watermark_ms: int) -> Outcome:
    """Return what an event says of an item.

    Upstream says itself what a long view or a finish is; of a client's watch time it is derived.
    """
    kind = event.interaction_type
    bits = BIT[kind]
    watched_ms = watch_ms(event.value) if kind is InteractionType.WATCH_TIME else 0
    if kind is InteractionType.WATCH_TIME and event.source == "client":
        bits |= BIT[InteractionType.LONG_VIEW] if is_long_view(watched_ms, event.duration_ms) else 0
        bits |= BIT[InteractionType.FINISH] if event.completed else 0
    return Outcome(
        event.user_id,
        event.video_id,
        kind,
        event.timestamp_ms,
        stamp_ms,
        watermark_ms,
        watched_ms,
        bits,
        min(max(event.duration_ms or 0, 0), MAX_WATCH_MS),
        None if claims is None else claims.request_id,
        -1 if claims is None else claims.position,
        0 if claims is None else claims.now_ms,
    )


def open_view(request_id: str, outcome: Outcome, position: int, *, window_ms: int, lateness_ms: int) -> View:
    """Return the view of an item of which something is known for the first time; it has taken in nothing yet."""
    window_ms += outcome.duration_ms
    return View(
        outcome.user_id,
        request_id,
        outcome.video_id,
        position,
        outcome.request_id is not None,
        outcome.stamp_ms + window_ms,
        outcome.at_ms + window_ms + lateness_ms,
    )
