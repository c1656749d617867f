"""Circuit breaker: gives a stage that fails again and again a rest."""

from __future__ import annotations

from datetime import timedelta


class Breaker:
    """Opens after failures in a row; then one try after each rest says whether it closes.

    closed → `max_failures` failures in a row → open for `rest` → one try → closed, or open for another `rest`

    Parameters
    ----------
    max_failures
        Failures in a row after which it opens, >= 1.
    budget
        A run that takes longer is a failure too, though what it returned is used.
    rest
        How long it stays open.

    Examples
    --------
    >>> breaker = Breaker(max_failures=2, rest=timedelta(seconds=10))
    >>> for at_s in (0.0, 1.0):
    ...     breaker.ran(took_s=0.001, raised=True, now_s=at_s)
    >>> breaker.is_open(now_s=2.0), breaker.is_open(now_s=11.0)
    (True, False)
    """

    def __init__(
        self, *, max_failures: int = 5, budget: timedelta = timedelta(milliseconds=50), rest: timedelta = timedelta(seconds=10)
    ) -> None:
        if max_failures < 1:
            message = f"expected 1 or more, got {max_failures}, at max_failures"
            raise ValueError(message)
        self.max_failures = max_failures
        self.budget = budget
        self.rest = rest
        self._failures = 0
        self._until_s = 0.0

    def is_open(self, *, now_s: float) -> bool:
        """Return whether the stage rests at `now_s`, monotonic seconds."""
        return self._failures >= self.max_failures and now_s < self._until_s

    def ran(self, *, took_s: float, raised: bool, now_s: float) -> None:
        """Note a run that ended at `now_s`."""
        if not raised and took_s <= self.budget.total_seconds():
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self.max_failures:
            self._until_s = now_s + self.rest.total_seconds()
