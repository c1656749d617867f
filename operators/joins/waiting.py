"""Outcomes whose page has not come yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

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
        self._held: OrderedDict[int, tuple[Key, Outcome]] = OrderedDict()
        self._by_key: dict[Key, list[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, key: Key, outcome: Outcome) -> int:
        """Hold an outcome; return how many had to go for it."""
        self._held[self._next] = key, outcome
        self._by_key.setdefault(key, []).append(self._next)
        self._next += 1
        gone = max(len(self._held) - self.max_waiting, 0)
        for _ in range(gone):
            self._pop()
        return gone

    def take(self, key: Key, wanted: Callable[[Outcome], bool] = lambda _: True) -> list[Outcome]:
        """Return what is wanted of that which waits under a key, oldest first, and hold it no longer; the rest stays where it is."""
        taken, left = [], []
        for number in self._by_key.pop(key, ()):
            if wanted(self._held[number][1]):
                taken.append(self._held.pop(number)[1])
            else:
                left.append(number)
        if left:
            self._by_key[key] = left
        return taken

    def leave_before(self, stamp_ms: int) -> int:
        """Let go of what came before a time on its topic's clock; return how many."""
        gone = 0
        while self._held and next(iter(self._held.values()))[1].stamp_ms < stamp_ms:
            self._pop()
            gone += 1
        return gone

    def _pop(self) -> None:
        number, (key, _) = self._held.popitem(last=False)
        numbers = self._by_key[key]
        numbers.remove(number)
        if not numbers:
            del self._by_key[key]

    def snapshot(self) -> list[tuple[Key, Outcome]]:
        """Return (key, outcome) in the order in which they came."""
        return list(self._held.values())

    def restore(self, waiting: list[tuple[Key, Outcome]]) -> None:
        """Become what a snapshot says."""
        self._held, self._by_key, self._next = OrderedDict(), {}, 0
        for key, outcome in waiting:
            self.add(key, outcome)
