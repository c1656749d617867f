"""Outcomes whose page has not come yet."""

from __future__ import annotations

from collections import deque

from operators.joins.outcomes import Outcome

Key = tuple[str, str]


class WaitingRoom:
    """Holds outcomes by key, in the order in which they came, for a bounded while and up to a bounded number.

    Parameters
    ----------
    max_waiting
        Outcomes held, 1 or more; the oldest goes first.
    """

    def __init__(self, *, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._order: deque[tuple[Key, Outcome]] = deque()
        self._by_key: dict[Key, list[Outcome]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: Key, outcome: Outcome) -> int:
        """Hold an outcome; return how many had to go for it."""
        self._order.append((key, outcome))
        self._by_key.setdefault(key, []).append(outcome)
        self._count += 1
        gone = 0
        while self._count > self.max_waiting:
            gone += self._pop()
        return gone

    def take(self, key: Key) -> list[Outcome]:
        """Return what waits under a key, oldest first, and hold it no longer."""
        taken = self._by_key.pop(key, [])
        self._count -= len(taken)
        if len(self._order) > 2 * self.max_waiting:
            self._order = deque(self.snapshot())
        return taken

    def leave_before(self, stamp_ms: int) -> int:
        """Let go of what came before a time on its topic's clock; return how many."""
        gone = 0
        while self._order and self._order[0][1].stamp_ms < stamp_ms:
            gone += self._pop()
        return gone

    def _pop(self) -> int:
        # What was taken meanwhile stands in the queue still; it is passed over.
        key, outcome = self._order.popleft()
        held = self._by_key.get(key)
        if not held or held[0] is not outcome:
            return 0
        held.pop(0)
        if not held:
            del self._by_key[key]
        self._count -= 1
        return 1

    def snapshot(self) -> list[tuple[Key, Outcome]]:
        """Return (key, outcome) in the order in which they came."""
        return [(key, outcome) for key, outcome in self._order if any(held is outcome for held in self._by_key.get(key, ()))]

    def restore(self, waiting: list[tuple[Key, Outcome]]) -> None:
        """Become what a snapshot says."""
        self._order, self._by_key, self._count = deque(), {}, 0
        for key, outcome in waiting:
            self.add(key, outcome)
