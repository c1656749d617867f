"""Decides which tracking tokens may train a model."""

from __future__ import annotations

from typing import Literal

from operators.tokens import TokenClaims, TokenError, TokenErrorCode, verify
from schemas.telemetry import Event

Refusal = TokenErrorCode | Literal["mismatched", "expired"]


def claims_of(event: Event, secret: bytes, *, within_ms: int, lateness_ms: int) -> TokenClaims | Refusal:
    """Return what the event's token says, or why it is not believed.

    Parameters
    ----------
    event
        An event with a token.
    secret
        What tokens are signed with.
    within_ms
        How long after its answer an item's outcomes count, in event time.
    lateness_ms
        How far the clock of a client may be behind.

    Returns
    -------
    TokenClaims or str
        `forged` or `malformed` (see operators.tokens), `mismatched` (signed for another video), `expired` (or from the future).
    """
    try:
        claims = verify(secret, event.tracking_token or "")
    except TokenError as error:
        return error.code
    if claims.video_id != event.video_id:
        return "mismatched"
    if not -lateness_ms <= event.timestamp_ms - claims.now_ms <= within_ms:
        return "expired"
    return claims
