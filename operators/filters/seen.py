"""What the person saw in the last days is not shown again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.profiles.seen import probe
from operators.query import Query, Rows


class AlreadySeen:
    """Drops what the person's seen bitmaps hold; all candidates are probed at once."""

    reason = "seen"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` were (almost surely) seen, shape (n,)."""
        return probe(query.seen, query.tables.items.seen_hashes.values[rows])
