"""Candidates whose content is near the person's taste."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS, best
from operators.stages import Source

SIMILAR = 0.5
"""Least cosine between a video's content and the person's taste at which the two are called similar."""


class NearTaste(Source):
    """Nearest neighbours of the person's vector: the index segment, and exactly whatever is fresher than the segment.

    Rows that the segment holds in an older version, or that are deleted, are left out of its part.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "vector"

    def __init__(self, *, most: int = 200) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the nearest, best first."""
        taste = query.vector
        if taste is None:
            return NO_ROWS
        tables = query.tables
        n = len(tables.videos)
        installed = tables.segment
        held = 0 if installed is None else installed.announced.vectors_offset
        current = tables.vectors.offset.values[:n]
        fresh = np.flatnonzero((current >= held) & tables.items.listed.values[:n])
        rows: list[Rows] = [fresh]
        scores: list[NDArray[np.float32]] = [query.similarity(fresh)]
        if installed is not None and len(installed.rows) > 0:
            labels, similarities = installed.segment.search(taste, min(2 * self.most, len(installed.rows)))
            found = installed.rows[labels]
            valid = (current[found] >= 0) & (current[found] < held) & tables.items.listed.values[found]
            rows.append(found[valid])
            scores.append(similarities[valid])
        return best(np.concatenate(rows), np.concatenate(scores), tables.items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say so of what is similar; the nearest of a small catalogue may have nothing in common with the person's taste."""
        near = query.similarity(np.array(rows, dtype=np.intp)).tolist()
        return ["Similar to videos you enjoyed" if one >= SIMILAR * 127 * 127 else "" for one in near]
