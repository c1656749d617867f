"""Dense rows for string ids, with columns that grow together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Column:
    """One array of a `Keyed`, as long as its capacity.

    `values` is replaced by a longer array when the table grows, so a row is made first and `values` is looked up after that.

    Parameters
    ----------
    dtype
        Type of an entry.
    width
        Shape of an entry; () is a scalar.
    fill
        What an entry holds before it is written.
    capacity
        Number of entries at the start.
    """

    __slots__ = ("fill", "values")

    def __init__(self, *, dtype: DTypeLike, width: tuple[int, ...], fill: float, capacity: int) -> None:
        self.fill = fill
        self.values: NDArray[Any] = np.full((capacity, *width), fill, dtype=dtype)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` entries; those that stand are kept."""
        old = self.values
        self.values = np.full((capacity, *old.shape[1:]), self.fill, dtype=old.dtype)
        self.values[: len(old)] = old


class Keyed:
    """Dense rows, one per string id, made at the id's first mention and never given back.

    Row numbers depend on the order of first mention, so no answer may depend on them: they address, they never rank.

    Parameters
    ----------
    capacity
        Rows to make room for at the start; doubled whenever they run out.

    Examples
    --------
    >>> videos = Keyed(capacity=1)
    >>> likes = videos.column(np.int64)
    >>> row = videos.row("a")
    >>> likes.values[row] = 3
    >>> videos.row("b"), videos.find("c"), likes.values.tolist()
    (1, -1, [3, 0])
    """

    def __init__(self, *, capacity: int = 1024) -> None:
        if capacity < 1:
            message = f"expected a capacity of at least 1, got {capacity}, at capacity"
            raise ValueError(message)
        self.capacity = capacity
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        self._columns: list[Column] = []
        self._names = self.column(np.object_)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, dtype: DTypeLike, *, width: tuple[int, ...] = (), fill: float = 0) -> Column:
        """Add a column; entries of rows that are not written hold `fill`."""
        column = Column(dtype=dtype, width=width, fill=fill, capacity=self.capacity)
        self._columns.append(column)
        return column

    def row(self, key: str) -> int:
        """Return the row of `key`, making it if this is its first mention."""
        row = self.rows.get(key)
        if row is not None:
            return row
        row = len(self.ids)
        if row == self.capacity:
            self.capacity *= 2
            for column in self._columns:
                column.grow(self.capacity)
        self.rows[key] = row
        self.ids.append(key)
        self._names.values[row] = key
        return row

    def names(self, rows: NDArray[np.integer]) -> list[str]:
        """Return the ids of `rows`, in their order."""
        names: list[str] = self._names.values[rows].tolist()
        return names

    def find(self, key: str | None) -> int:
        """Return the row of `key`, or -1 if it was never mentioned."""
        return -1 if key is None else self.rows.get(key, -1)

    def mask(self, rows: NDArray[np.intp] | list[int]) -> NDArray[np.bool_]:
        """Return which rows are among `rows`, shape (capacity + 1,); the last is False, so that -1 ("unknown") is never among them."""
        mask = np.zeros(self.capacity + 1, dtype=np.bool_)
        mask[rows] = True
        return mask

    def code(self, key: str | None) -> int:
        """Return the row of `key`, making it if need be; -1 for None."""
        return -1 if key is None else self.row(key)
