"""Bounded memory for many keys: the longest idle are forgotten.

When a new key comes and `most` are held, the sixteenth part that was idle longest by event time goes. Nothing is lost silently: what was
published last stays where it was published, the number forgotten is counted, and a key that comes back begins anew with a version
higher than any that was forgotten, so that its new values replace the old ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

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

    Examples
    --------
    >>> Forgetting(most=2).choose([(30, "c"), (10, "a")], held=2)
    ['a']
    """

    def __init__(self, *, most: int) -> None:
        if most < 1:
            text = f"expected 1 or more, got {most}, at most"
            raise ValueError(text)
        self.most = most
        self.count = 0
        self.floor = 0

    def choose(self, candidates: Iterable[Idleness], *, held: int) -> list[str]:
        """Return the keys to forget, so that less than `most` of those held stay, as far as there are candidates."""
        going = sorted(candidates)[: held - self.most + max(self.most // 16, 1)]
        self.count += len(going)
        return [key for _, key in going]

    def snapshot(self) -> tuple[int, int]:
        """Return count and floor."""
        return self.count, self.floor

    def restore(self, state: tuple[int, int]) -> None:
        """Take back what `snapshot` returned."""
        self.count, self.floor = state
