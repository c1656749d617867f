"""Drops videos that the catalogue does not hold, and those that are not available at this time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.stages import Filter


class NotInCatalogue(Filter):
    """Drops videos that the catalogue does not hold: deleted, or mentioned by events before their upsert."""

    name = "not_in_catalogue"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are not listed, shape (n,)."""
        removed: NDArray[np.bool_] = ~query.tables.items.listed.values[rows]
        return removed


class NotAvailable(Filter):
    """Drops videos that are uploaded after "now", or expired by then."""

    name = "not_available"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` are not there at this time, shape (n,)."""
        items = query.tables.items
        removed: NDArray[np.bool_] = (items.uploaded_ms.values[rows] > query.now_ms) | (items.expires_ms.values[rows] <= query.now_ms)
        return removed
