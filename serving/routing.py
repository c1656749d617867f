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
