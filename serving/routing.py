"""Which partition of the request topic a request goes to: a person's own, unless it owes answers that others would have given."""

from __future__ import annotations

from collections import OrderedDict

from schemas.partition import partition_for


class PartitionRouter:
    """Chooses partitions and remembers what each one owes.

    A partition is suspect while it has owed an answer for longer than `hedge_after` seconds and another one has answered since. A dead
    worker's partitions stand still for seconds until its group moves them; requests meanwhile go to the partition that answered last.

    Parameters
    ----------
    partitions : int
        Partitions of the request topic, at least 1.
    hedge_after : float
        Seconds after which an answer is overdue; about the p99 of an answer.
    """

    def __init__(self, *, partitions: int, hedge_after: float) -> None:
        self.partitions = partitions
        self.hedge_after = hedge_after
        self._owed: list[OrderedDict[str, float]] = [OrderedDict() for _ in range(partitions)]
        self._answered_at = [float("-inf")] * partitions

    def choose(self, user_id: str, now: float) -> int:
        """Return the partition for a first attempt."""
        home = partition_for(user_id.encode(), self.partitions)
        return self.alternative(home) if self.suspect(home, now) else home

    def alternative(self, partition: int) -> int:
        """Return the other partition that answered most recently (the next one where none has yet)."""
        others = [p for p in range(self.partitions) if p != partition] or [partition]
        best = max(others, key=lambda p: self._answered_at[p])
        return best if self._answered_at[best] > float("-inf") else (partition + 1) % self.partitions

    def suspect(self, partition: int, now: float) -> bool:
        """Tell whether a partition stands still while others answer."""
        owed = self._owed[partition]
        if not owed:
            return False
        since = next(iter(owed.values()))
        if now - since < self.hedge_after:
            return False
        return any(at > since for p, at in enumerate(self._answered_at) if p != partition)

    def sent(self, partition: int, request_id: str, now: float) -> None:
        """Note that a partition owes an answer."""
        self._owed[partition].setdefault(request_id, now)

    def answered(self, partition: int, request_id: str, now: float) -> None:
        """Note that a partition gave an answer."""
        self._owed[partition].pop(request_id, None)
        self._answered_at[partition] = now

    def forget(self, partition: int, request_id: str) -> None:
        """Stop waiting for an answer whose deadline has passed."""
        self._owed[partition].pop(request_id, None)


class HedgeBudget:
    """How many requests may be sent again: when everything is slow, asking twice makes it slower.

    A token bucket: each request earns `share` tokens and each second `per_second`; a hedge costs one.

    Parameters
    ----------
    share : float
        Hedges per request in the long run.
    per_second : float
        Hedges a second that are allowed whatever the load is.
    most : float
        Hedges at once: what a worker's sudden death may cost.

    Examples
    --------
    >>> budget = HedgeBudget(share=0.5, per_second=0.0, most=1.0)
    >>> [budget.spend(), budget.spend()]
    [True, False]
    """

    def __init__(self, *, share: float, per_second: float = 5.0, most: float = 50.0) -> None:
        self.share = share
        self.per_second = per_second
        self.most = most
        self._left = most
        self._at: float | None = None

    def earn(self, now: float) -> None:
        """Count a request at `now`, monotonic seconds."""
        passed = 0.0 if self._at is None else now - self._at
        self._left = min(self._left + self.share + passed * self.per_second, self.most)
        self._at = now

    def spend(self) -> bool:
        """Take a token, and tell whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
