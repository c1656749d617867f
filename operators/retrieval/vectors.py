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
    fresh
        Videos to compare exactly at most: those with the newest vectors. While there is no segment, or it is older than so many changes,
        the others are not found here.
    """

    name = "vector"

    def __init__(self, *, most: int = 200, fresh: int = 20_000) -> None:
        self.most = most
        self.fresh = fresh

    def retrieve(self, query: Query) -> Rows:
        """Return the nearest, best first."""
        taste = query.vector
        if taste is None:
            return NO_ROWS
        tables = query.tables
        installed = tables.segment
        held = 0 if installed is None else installed.announced.vectors_offset
        current, listed = tables.vectors.offset.values, tables.items.listed.values
        fresh = tables.vectors.fresh(held, self.fresh)
        fresh = fresh[listed[fresh]]
        rows: list[Rows] = [fresh]
        scores: list[NDArray[np.float32]] = [query.similarity(fresh)]
        if installed is not None and len(installed.rows) > 0:
            labels, similarities = installed.segment.search(taste, min(2 * self.most, len(installed.rows)))
            found = installed.rows[labels]
            same = tables.videos.generation.values[found] == installed.generations[labels]
            valid = same & (current[found] >= 0) & (current[found] < held) & listed[found]
            rows.append(found[valid])
            scores.append(similarities[valid])
        return best(np.concatenate(rows), np.concatenate(scores), tables.items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say so of what is similar; the nearest of a small catalogue may have nothing in common with the person's taste."""
        near = query.similarity(np.array(rows, dtype=np.intp)).tolist()
        return ["Similar to videos you enjoyed" if one >= SIMILAR * 127 * 127 else "" for one in near]
