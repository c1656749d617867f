"""Content vectors as a matrix, beside the immutable index segment that holds the older ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.catalog import ItemVector

NO_OFFSET = -1


class VectorTable:
    """int8 vectors of all rows, held as float32 so that inner products run in BLAS and are exact.

    Parameters
    ----------
    videos
        The row space of videos.
    dim
        Entries of a vector, 1 to 1,040 (beyond which sums of int8 products are no longer exact in float32).

    Attributes
    ----------
    offset : (n,) int64
        Offset of `catalog.vectors` from which the vector came, -1 where there is none: a row is fresh if it is newer than the segment.
    wrong_size : int
        Vectors that were left out because they have another size.
    """

    def __init__(self, *, videos: Keyed, dim: int = 64) -> None:
        if not 1 <= dim <= 1_040:
            message = f"expected 1 to 1,040 dimensions, got {dim}, at dim"
            raise ValueError(message)
        self.videos = videos
        self.dim = dim
        self.wrong_size = 0
        self.matrix = videos.column(np.float32, width=(dim,))
        self.simhash = videos.column(np.uint64)
        self.offset = videos.column(np.int64, fill=NO_OFFSET)

    def upsert(self, item: ItemVector, offset: int) -> None:
        """Take in a vector that stands at `offset` of its topic."""
        if len(item.vector) != self.dim:
            self.wrong_size += 1
            return
        row = self.videos.row(item.video_id)
        self.matrix.values[row] = np.frombuffer(item.vector, dtype=np.int8)
        self.simhash.values[row] = item.simhash & 0xFFFF_FFFF_FFFF_FFFF
        self.offset.values[row] = offset

    def delete(self, video_id: str) -> None:
        """Take a vector out."""
        row = self.videos.find(video_id)
        if row >= 0:
            self.matrix.values[row] = 0
            self.simhash.values[row] = 0
            self.offset.values[row] = NO_OFFSET

    def similarity(self, rows: NDArray[np.intp], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the exact inner products of `rows` with an int8-valued vector of shape (dim,), shape (n,) float32."""
        products: NDArray[np.float32] = self.matrix.values[rows] @ vector
        return products
