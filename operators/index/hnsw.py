"""A navigable small-world graph (hnswlib): search cost grows with the logarithm of the number of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import hnswlib  # type: ignore[import-untyped]  # it has no types
import numpy as np
from numpy.typing import NDArray

from operators.index.segment import Kind, Labels, Segment, SegmentError, Similarities, Vector, Vectors, saved_ids, top

_FILE = "graph.bin"


class HnswSegment(Segment):
    """A graph that is built once, by one thread from a fixed seed, and never changed: the same input gives the same bytes.

    Made by :meth:`build` or :meth:`load`.

    Parameters
    ----------
    ids
        Video ids, strictly ascending.
    index
        The graph; its labels are places in `ids`.
    ef
        Candidates kept during a search, >= 1; more finds more and takes longer. A search for k keeps at least k.

    References
    ----------
    Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW graphs", TPAMI 2020.
    """

    kind: ClassVar[Kind] = "hnsw"

    def __init__(self, ids: Sequence[str], index: hnswlib.Index, *, ef: int) -> None:
        super().__init__(ids, index.dim)
        self.ef = ef
        self._index = index
        self._index.set_num_threads(1)
        self._ef_now = 0

    @classmethod
    def build(cls, ids: Sequence[str], vectors: Vectors, *, ef: int = 200, m: int = 32, ef_construction: int = 200, seed: int = 0) -> Self:
        """Build the graph.

        Parameters
        ----------
        ids
            Video ids, strictly ascending.
        vectors
            Shape (n_videos, dim) int8, in the order of `ids`.
        ef
            Candidates kept during a search.
        m
            Links of a node, 8 to 64; recall and memory (8 m bytes a video) grow with it.
        ef_construction
            Candidates kept during the build; recall and build time grow with it.
        seed
            Seed of the levels.

        Raises
        ------
        SegmentError
            If there are not as many vectors as ids, or none.
        """
        if len(vectors) != len(ids) or not ids:
            expected = f"one vector for each of {len(ids)} ids and at least one"
            raise SegmentError(expected=expected, got=str(len(vectors)), where="vectors")
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(ids), M=m, ef_construction=ef_construction, random_seed=seed + 1)
        index.set_num_threads(1)
        index.add_items(vectors.astype(np.float32), np.arange(len(ids)), num_threads=1)
        return cls(ids, index, ef=ef)

    def search(self, vector: Vector, k: int) -> tuple[Labels, Similarities]:
        """Return the labels and inner products of about the k nearest videos, best first, ties by id."""
        k = min(k, len(self.ids))
        labels, distances = self._query(vector.astype(np.float32, copy=False), k, max(self.ef, k))
        return top(labels.astype(np.int64), np.float32(1.0) - distances, k)

    def _query(self, query: NDArray[np.float32], k: int, ef: int) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        self._set_ef(ef)
        try:
            labels, distances = self._index.knn_query(query, k=k, num_threads=1)
        except RuntimeError:
            # hnswlib raises when its walk found fewer than k; parts of a graph may hang together loosely.
            if ef < len(self.ids):
                return self._query(query, k, len(self.ids))
            if k == 1:
                return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.float32)
            return self._query(query, k // 2, ef)
        return labels[0], distances[0]

    def _set_ef(self, ef: int) -> None:
        if ef != self._ef_now:
            self._index.set_ef(ef)
            self._ef_now = ef

    def parameters(self) -> dict[str, int]:
        """Return links, candidates of the build and candidates of a search."""
        return {"m": self._index.M, "ef_construction": self._index.ef_construction, "ef": self.ef}

    def write(self, folder: Path) -> None:
        """Write the graph."""
        self._index.save_index(str(folder / _FILE))

    @classmethod
    def load(cls, folder: Path, *, dim: int, ef: int = 200) -> Self:
        """Load a saved segment, whose bytes were checked before."""
        ids = saved_ids(folder)
        index = hnswlib.Index(space="ip", dim=dim)
        index.load_index(str(folder / _FILE), max_elements=len(ids))
        return cls(ids, index, ef=ef)
