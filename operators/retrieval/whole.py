"""Every video, while the catalogue is small."""

from __future__ import annotations

import numpy as np

from operators.pipeline import Found
from operators.query import Query
from operators.retrieval.best import NOTHING, best


class WholeCatalogue:
    """All videos of a catalogue that is not larger than what would be retrieved of it anyway.

    Parameters
    ----------
    most
        The largest catalogue that is taken whole; of a larger one nothing comes from here.
    """

    name = "catalogue"

    def __init__(self, *, most: int = 1_200) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Found:
        """Return all listed videos, or nothing."""
        items = query.tables.items
        if items.n_listed > self.most:
            return NOTHING
        rows = np.flatnonzero(items.listed.values[: len(query.tables.videos)])
        return best(rows, np.zeros(len(rows)), items.hashes.values, self.most)
