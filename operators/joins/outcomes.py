"""Collects the outcomes of a served item, and turns them into labels of the heads."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from operators.interactions import MAX_WATCH_MS, MEANINGS, watch_ms
from operators.tokens import TokenClaims
from schemas.learning import HEADS
from schemas.telemetry import Event, InteractionType

Bits = int

_LATER = (InteractionType.UNLIKE, InteractionType.UNFOLLOW)
BIT: dict[InteractionType, Bits] = {
    kind: 1 << place for place, kind in enumerate((*(kind for kind in InteractionType if kind not in _LATER), *_LATER))
}
"""Bits stand in snapshots: what is added to the types of interaction comes last here."""

HEAD_BITS: dict[str, Bits] = {head: sum(BIT[kind] for kind, meaning in MEANINGS.items() if head in meaning.heads) for head in HEADS}
POSITIVE, NEGATIVE = HEAD_BITS["taken"], HEAD_BITS["negative"]
_UNDOES: dict[InteractionType, Bits] = {
    kind: BIT[InteractionType(meaning.takes_back)] for kind, meaning in MEANINGS.items() if meaning.takes_back in {"like", "follow"}
}

CLOSES_AFTER: dict[InteractionType, timedelta] = {
    InteractionType.WATCH_TIME: timedelta(milliseconds=300),
    InteractionType.SKIP: timedelta(milliseconds=300),
    InteractionType.NOT_INTERESTED: timedelta(milliseconds=300),
    InteractionType.REPORT: timedelta(milliseconds=300),
    InteractionType.FINISH: timedelta(seconds=5),
}
"""How long after the outcome that ends a view others of the same view are still taken in."""


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
        """Take in an outcome; one that ends the view brings its closing forward, one that takes back undoes what came before it."""
        self.bits = (self.bits & ~_UNDOES.get(outcome.kind, 0)) | outcome.bits
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
        return {head: int(bool(self.bits & bits)) for head, bits in HEAD_BITS.items() if head != "taken"} | {"taken": int(self.is_positive)}


def outcome_of(event: Event, claims: TokenClaims | None, *, stamp_ms: int, watermark_ms: int) -> Outcome:
    """Return what an event says of an item.

    A label is 0 or 1, so that what was counted for the same view already (`repeated`) may be said again.
    """
    kind = event.interaction_type
    bits = BIT[kind]
    for implied in event.implies:
        bits |= BIT[implied]
    watched_ms = watch_ms(event.value) if kind is InteractionType.WATCH_TIME else 0
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
