"""Content vectors as a matrix, beside the immutable index segment that holds the older ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from operators.tables.ordered import Ordered
from operators.tables.view import Shared, SideView, ViewExample
from schemas.catalog import ItemVector
from schemas.validity import keyed

NO_OFFSET = -1


class Placed(NamedTuple):
    """A vector, and the offset of its topic at which it stands."""

    item: ItemVector
    offset: int


class VectorTable(SideView[Placed]):
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
    by_offset : Ordered
        The rows that have a vector, the newest first.
    wrong_size : int
        Vectors that were left out because they have another size.
    """

    topic = "catalog.vectors"
    message = ItemVector

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
        self.by_offset = Ordered()
        videos.when_given_back(self._forget)

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(videos=shared.videos, dim=shared.dim)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> Placed:
        """Decode a vector."""
        return Placed(keyed(ItemVector, "video_id", key, value), offset)

    def apply(self, placed: Placed) -> None:
        """Take in a vector."""
        item, offset = placed
        if len(item.vector) != self.dim:
            self.wrong_size += 1
            return
        self.videos.trim()
        row = self.videos.row(item.video_id)
        self._forget([row])
        self.matrix.values[row] = np.frombuffer(item.vector, dtype=np.int8)
        self.simhash.values[row] = item.simhash & 0xFFFF_FFFF_FFFF_FFFF
        self.offset.values[row] = offset
        self.by_offset.add(0, offset, 0, row)

    def delete(self, video_id: str) -> None:
        """Take a vector out."""
        row = self.videos.find(video_id)
        if row >= 0:
            self._forget([row])
            self.matrix.values[row] = 0
            self.simhash.values[row] = 0
            self.offset.values[row] = NO_OFFSET

    def fresh(self, held: int, most: int) -> NDArray[np.intp]:
        """Return the rows whose vector stands at offset `held` or later, the newest `most` of them, shape (n,)."""
        return self.by_offset.head(0, most, above=held - 1)

    def similarity(self, rows: NDArray[np.intp], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the exact inner products of `rows` with an int8-valued vector of shape (dim,), shape (n,) float32."""
        products: NDArray[np.float32] = self.matrix.values[rows] @ vector
        return products

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield vectors of three videos, one of another size."""

        def vector(video_id: str, *values: int, simhash: int = 7) -> tuple[str, ItemVector]:
            return video_id, ItemVector(video_id=video_id, vector=bytes(values), simhash=simhash, catalog_offset=0)

        def read(table: VectorTable) -> object:
            rows = np.array([table.videos.row(name) for name in "abc"], dtype=np.intp)
            return table.similarity(rows, np.array([1, 100], dtype=np.float32)).tolist(), table.simhash.values[rows].tolist()

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), dim=2),
            records=[vector("a", 3, 4), vector("b", 127, 0, simhash=2**64 - 1), vector("c", 1)],
            read=read,
            endless=lambda n: vector(f"v{n % 20}", n % 128, 1, simhash=n),
            bound=100,
        )

    def _forget(self, rows: list[int]) -> None:
        for row in rows:
            if self.offset.values[row] != NO_OFFSET:
                self.by_offset.remove(0, float(self.offset.values[row]), 0, row)
