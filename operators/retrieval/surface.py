"""Candidates that are shown most on the surface that asks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS
from operators.stages import Source
from operators.windows.decay import DAY_MS

TODAY = 0.5
"""Least impressions, half-life 24 h, of what is popular today; something must have happened today, too."""


class PopularOnSurface(Source):
    """The videos with the most impressions on the request's surface, half-life 24 h.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "surface"

    def __init__(self, *, most: int = 300) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the most shown, best first; nothing where no surface is told, or nothing was shown there."""
        code = query.tables.counters.surface(query.surface)
        return NO_ROWS if code < 0 else query.tables.orders.on_surface.head(code, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say whether they were shown there today, or were once."""
        counters, some = query.tables.counters, np.array(rows, dtype=np.intp)
        shown = None if query.surface is None else counters.on_surface(some, query.surface, query.now_ms)
        if shown is None:
            return [""] * len(rows)
        today = (shown >= TODAY) & (counters.decayed_at_ms.values[some] > query.now_ms - DAY_MS)
        return ["Popular here today" if one else "Popular here" for one in today.tolist()]
