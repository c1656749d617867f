"""A pace that waits for the end of a load."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from dataflows.bucketed import Pace

LOOK_AGAIN = timedelta(milliseconds=50)


class CaughtUp(Pace):
    """Waits while the part is behind: what a long load changes is told once, after it.

    Parameters
    ----------
    least, share
        See :class:`dataflows.bucketed.Pace`.
    lag
        Tells how many records wait.
    allowed
        So many may always wait.
    longest
        After so long it is time in any case.
    """

    def __init__(
        self,
        *,
        least: timedelta,
        share: float,
        lag: Callable[[], int],
        allowed: int = 2_000,
        longest: timedelta = timedelta(seconds=15),
    ) -> None:
        super().__init__(least=least, share=share)
        self.lag = lag
        self.allowed = allowed
        self.longest = longest
        self._asked_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to ask."""
        is_long = time.monotonic() - self._asked_at >= self.longest.total_seconds()
        return super().due and (is_long or self.lag() <= self.allowed)

    def due_at(self) -> datetime:
        """Return when to look again."""
        return max(super().due_at(), datetime.now(UTC) + LOOK_AGAIN)

    def asked(self) -> None:
        """Begin an interval."""
        self._asked_at = time.monotonic()
        super().asked()
