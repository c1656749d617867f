"""An immutable part of the vector index: a file that is built once, announced, checked, loaded and swapped in."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from operators.tables.artifact import checksum
from schemas.errors import ContractError

Kind: TypeAlias = Literal["hnsw", "exact"]
Labels: TypeAlias = NDArray[np.int64]
Similarities: TypeAlias = NDArray[np.float32]
Vectors: TypeAlias = NDArray[np.int8]
Vector: TypeAlias = NDArray[np.int8] | NDArray[np.float32]

IDS_FILE = "ids.json"


class SegmentError(ContractError):
    """A segment that cannot be built, or whose files do not hold what was announced."""


class Segment(ABC):
    """Videos and their vectors, searched by inner product.

    Labels are places in `ids`, which are sorted, so that a tie goes to the smaller id. Vectors and queries hold whole numbers from
    -127 to 127; inner products are then exact in float32, in whatever order they are summed, up to 1,040 dimensions.

    Parameters
    ----------
    ids
        Video ids, strictly ascending.
    dim
        Dimensions of a vector.

    Raises
    ------
    SegmentError
        If the ids are not strictly ascending.
    """

    kind: ClassVar[Kind]

    def __init__(self, ids: Sequence[str], dim: int) -> None:
        self.ids = list(ids)
        self.dim = dim
        for before, after in zip(self.ids, self.ids[1:], strict=False):
            if before >= after:
                got = f"{before!r} before {after!r}"
                raise SegmentError(expected="ids in strictly ascending order", got=got, where="ids", do="sort them and drop repeats")

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def search(self, vector: Vector, k: int) -> tuple[Labels, Similarities]:
        """Return the labels and inner products of the k nearest videos, best first, ties by id.

        Parameters
        ----------
        vector
            Shape (dim,), whole numbers from -127 to 127.
        k
            How many, >= 1; fewer come back where the segment has fewer.

        Returns
        -------
        Labels of shape (min(k, len),) int64 and similarities float32 of the same shape.
        """

    @abstractmethod
    def parameters(self) -> dict[str, int]:
        """Return what must be known beside the files to search as intended."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write the files of the kind into an existing folder."""

    def save(self, store: Path) -> tuple[str, str]:
        """Write the segment into a folder of the store that is named after its contents, all or nothing.

        A folder that is there already is left as it is: it holds the same bytes.

        Parameters
        ----------
        store
            The folder of all segments, made if need be.

        Returns
        -------
        The name of the folder, and the checksum of its files.
        """
        part = store / f".part-{os.getpid()}"
        rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        (part / IDS_FILE).write_text(json.dumps(self.ids, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        self.write(part)
        digest = checksum(part)
        name = f"{self.kind}-{digest[:16]}"
        if (store / name).exists():
            rmtree(part)
        else:
            part.rename(store / name)
        return name, digest


def saved_ids(folder: Path) -> list[str]:
    """Return the ids of a saved segment."""
    ids: list[str] = json.loads((folder / IDS_FILE).read_text(encoding="utf-8"))
    return ids


def top(labels: Labels, similarities: Similarities, k: int) -> tuple[Labels, Similarities]:
    """Return the k best, best first, ties by the smaller label.

    >>> labels, similarities = top(np.array([4, 2, 9]), np.array([1, 1, 3], dtype=np.float32), 2)
    >>> labels.tolist(), similarities.tolist()
    ([9, 2], [3.0, 1.0])
    """
    if k < len(labels):
        threshold = np.partition(similarities, len(labels) - k)[len(labels) - k]
        kept = np.flatnonzero(similarities >= threshold)
        labels, similarities = labels[kept], similarities[kept]
    order = np.lexsort((labels, -similarities))[:k]
    return labels[order], similarities[order]
