"""Every video, while the catalogue is small; the best of it that may be shown, where no other source finds anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS, best
from operators.stages import LastResort


class WholeCatalogue(LastResort):
    """All videos of a catalogue that is not larger than what would be retrieved of it anyway; the last resort of a larger one.

    Parameters
    ----------
    most
        The largest catalogue that is taken whole; of a larger one nothing comes from here until the last resort is asked.
    """

    name = "catalogue"

    def __init__(self, *, most: int = 1_200) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return all listed videos, or nothing."""
        if query.tables.items.n_listed > self.most:
            return NO_ROWS
        rows = self.everything(query)
        return best(rows, np.zeros(len(rows)), query.tables.items.hashes.values, self.most)

    def everything(self, query: Query) -> Rows:
        """Return the rows of all listed videos."""
        return np.flatnonzero(query.tables.items.listed.values[: len(query.tables.videos)])

    def best(self, query: Query, rows: Rows) -> Rows:
        """Return the most popular of `rows`, at most `most`."""
        return best(rows, query.tables.counters.popular_key.values[rows], query.tables.items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say nothing: nothing speaks for them in particular."""
        return [""] * len(rows)
