"""Folds repeats of ids, in bounded memory."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


class SeenIds:
    """Remembers the newest ids by their 64-bit hashes; two ids of 100,000 collide once in 10⁹ runs.

    Parameters
    ----------
    max_ids
        Ids remembered, 1 or more; must exceed what can repeat after a crash (the examples of one snapshot interval).

    Examples
    --------
    >>> seen = SeenIds(max_ids=2)
    >>> [seen.admits(one) for one in ("a", "b", "a", "c", "a")]
    [True, True, False, True, True]
    """

    def __init__(self, *, max_ids: int) -> None:
        if max_ids < 1:
            message = f"expected 1 or more, got {max_ids}, at max_ids"
            raise ValueError(message)
        self.max_ids = max_ids
        # A dict keeps the order in which its keys came.
        self._hashes: dict[int, None] = {}

    def admits(self, one: str) -> bool:
        """Return whether the id is new, and remember it."""
        short = int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), "little")
        if short in self._hashes:
            return False
        self._hashes[short] = None
        if len(self._hashes) > self.max_ids:
            del self._hashes[next(iter(self._hashes))]
        return True

    def dump(self) -> bytes:
        """Return the hashes, oldest first: uint64."""
        return np.fromiter(self._hashes, dtype=np.uint64, count=len(self._hashes)).tobytes()

    def load(self, hashes: bytes) -> None:
        """Take back what `dump` returned."""
        self._hashes = dict.fromkeys(np.frombuffer(hashes, dtype=np.uint64).tolist())
