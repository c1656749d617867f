"""Every vector is looked at: no graph, no misses; the faster way up to some tens of thousands of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from operators.index.segment import Kind, Labels, Segment, SegmentError, Similarities, Vector, Vectors, saved_ids, top

_FILE = "vectors.npy"


class ExactSegment(Segment):
    """A matrix of all vectors; a search is one matrix-vector product.

    Parameters
    ----------
    ids
        Video ids, strictly ascending.
    vectors
        Shape (n_videos, dim) int8, in the order of `ids`.

    Raises
    ------
    SegmentError
        If there are not as many vectors as ids.

    Examples
    --------
    >>> segment = ExactSegment(["a", "b", "c"], np.array([[9, 0], [0, 9], [9, 0]], dtype=np.int8))
    >>> labels, similarities = segment.search(np.array([2, 1], dtype=np.float32), 2)
    >>> [segment.ids[label] for label in labels], similarities.tolist()
    (['a', 'c'], [18.0, 18.0])
    """

    kind: ClassVar[Kind] = "exact"

    def __init__(self, ids: Sequence[str], vectors: Vectors) -> None:
        super().__init__(ids, vectors.shape[1])
        if len(vectors) != len(self.ids):
            raise SegmentError(expected=f"one vector for each of {len(self.ids)} ids", got=str(len(vectors)), where="vectors")
        self._vectors = vectors
        self._matrix = vectors.astype(np.float32)
        self._labels = np.arange(len(self.ids), dtype=np.int64)

    def search(self, vector: Vector, k: int) -> tuple[Labels, Similarities]:
        """Return the labels and inner products of the k nearest videos, best first, ties by id."""
        similarities: Similarities = self._matrix @ vector.astype(np.float32, copy=False)
        return top(self._labels, similarities, k)

    def parameters(self) -> dict[str, int]:
        """Return nothing: there is nothing to tune."""
        return {}

    def write(self, folder: Path) -> None:
        """Write the vectors."""
        np.save(folder / _FILE, self._vectors, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a saved segment, whose bytes were checked before."""
        ids = saved_ids(folder)
        return cls(ids, np.load(folder / _FILE, allow_pickle=False))
