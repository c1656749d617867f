"""Drops videos that the person saw in the last days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.stages import Filter
from schemas.keys import SEEN_BITS

MAX_BITMAPS = 8


class AlreadySeen(Filter):
    """Drops what the person's seen bitmaps hold; all candidates are probed at once.

    The bitmaps are laid over each other, one per bit of a byte, so that each bit of a candidate is looked up once for all of them; a
    candidate was (almost surely) seen if one and the same bitmap has all its bits. False positives: see operators.profiles.seen.
    """

    name = "seen"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` were (almost surely) seen, shape (n,)."""
        if not query.seen:
            return np.zeros(len(rows), dtype=np.bool_)
        layers = _laid_over(query.seen)
        bits = query.tables.items.seen_bits.values[rows].T
        common = layers[bits[0]]
        for bit in bits[1:]:
            common &= layers[bit]
        removed: NDArray[np.bool_] = common != 0
        return removed


def _laid_over(bitmaps: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return, per bit place, which bitmaps have it set, shape (SEEN_BITS,)."""
    layers = np.zeros(SEEN_BITS, dtype=np.uint8)
    for layer, bitmap in enumerate(bitmaps[-MAX_BITMAPS:]):
        known = np.unpackbits(np.frombuffer(bitmap[: SEEN_BITS // 8], dtype=np.uint8))
        layers[: len(known)] |= known << np.uint8(layer)
    return layers
