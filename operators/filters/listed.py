"""Only what the catalogue holds is shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows


class NotInCatalogue:
    """Drops videos that the catalogue does not hold: deleted, or mentioned by events before their upsert."""

    reason = "not_in_catalogue"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are not listed, shape (n,)."""
        removed: NDArray[np.bool_] = ~query.tables.items.listed.values[rows]
        return removed
