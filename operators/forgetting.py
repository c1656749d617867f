"""Bounded memory for many keys: the longest idle are forgotten, all at once and so that a crash changes nothing.

When a new key comes and `most` are held, the sixteenth part that was idle longest by event time goes. Nothing is lost silently: what was
published last stays where it was published, the number forgotten is counted, and a key that comes back begins anew with a version
higher than any that was forgotten, so that its new values replace the old ones.

A bucket's snapshot may be older than a forgetting that took some of its keys. It carries the era (number of forgettings) in which it was
taken, and the head keeps the cuts: what a later cut would have taken is dropped when the bucket is put back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from operators.base import State

Idleness: TypeAlias = tuple[int, str]
"""(event time of the last event, key): the smallest are forgotten first."""


class Forgetting:
    """Which keys go, and what must be remembered of them.

    Parameters
    ----------
    most
        Keys held, 1 or more.

    Attributes
    ----------
    count
        Keys forgotten so far.
    floor
        Highest version that was forgotten; new keys begin with it.
    era
        Number of forgettings so far.

    Examples
    --------
    >>> forgetting = Forgetting(most=2)
    >>> forgetting.choose([(30, "c"), (10, "a")], held=2)
    ['a']
    >>> forgetting.dropped((10, "a"), era=0), forgetting.dropped((30, "c"), era=0), forgetting.dropped((10, "a"), era=1)
    (True, False, False)
    """

    def __init__(self, *, most: int) -> None:
        if most < 1:
            text = f"expected 1 or more, got {most}, at most"
            raise ValueError(text)
        self.most = most
        self.count = 0
        self.floor = 0
        self.era = 0
        self._cuts: list[tuple[int, Idleness]] = []

    def choose(self, candidates: Iterable[Idleness], *, held: int) -> list[str]:
        """Begin a new era and return the keys to forget, so that less than `most` of those held stay, as far as there are candidates."""
        going = sorted(candidates)[: held - self.most + max(self.most // 16, 1)]
        if not going:
            return []
        self.era += 1
        self.count += len(going)
        cut = going[-1]
        # A cut that a later one covers is never asked for again.
        self._cuts = [(era, one) for era, one in self._cuts if one > cut]
        self._cuts.append((self.era, cut))
        return [key for _, key in going]

    def dropped(self, idleness: Idleness, era: int) -> bool:
        """Return whether a key with this idleness, as it was known in `era`, has been forgotten since."""
        return any(later > era and idleness <= cut for later, cut in self._cuts)

    def snapshot(self) -> State:
        """Return all of it as plain data."""
        return {"count": self.count, "floor": self.floor, "era": self.era, "cuts": [(era, *cut) for era, cut in self._cuts]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `snapshot` returned."""
        self.count, self.floor, self.era = state["count"], state["floor"], state["era"]
        self._cuts = [(era, (at_ms, key)) for era, at_ms, key in state["cuts"]]
