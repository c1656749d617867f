"""Dense rows for string ids, with columns that grow together and never move."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Rows = NDArray[np.intp]

RESERVED = 2_097_152
_SHARDS = 256
_AT_ONCE = 4_096
_GIVEN_BACK = 1_024


class Column:
    """One array of a `Keyed`, as long as its capacity.

    Address space is reserved for the whole capacity; memory is taken when a row is first written. So a table grows without copying.
    One entry more is nobody's: what -1 ("unknown") addresses, for those who gather first and look at -1 afterwards.

    Parameters
    ----------
    dtype
        Type of an entry.
    width
        Shape of an entry; () is a scalar.
    fill
        What an entry holds before it is written.
    capacity
        Number of entries.

    Attributes
    ----------
    used : int
        Entries that are ready to be written; what is behind them is nobody's.
    """

    __slots__ = ("fill", "used", "values")

    def __init__(self, *, dtype: DTypeLike, width: tuple[int, ...], fill: float, capacity: int) -> None:
        self.fill = fill
        self.used = 0
        self.values: NDArray[Any] = _reserved((capacity + 1, *width), np.dtype(dtype))

    def __getstate__(self) -> tuple[float, NDArray[Any]]:
        return self.fill, self.values[: self.used]

    def use(self, end: int) -> None:
        """Make entries ready up to `end`."""
        if end >= len(self.values):
            old = self.values
            self.values = _reserved((2 * len(old) - 1, *old.shape[1:]), old.dtype)
            self.values[: self.used] = old[: self.used]
        if self.fill != 0:
            self.values[self.used : end] = self.fill
        self.used = end

    def clear(self, rows: list[int]) -> None:
        """Make entries what they were before they were written."""
        self.values[rows] = self.fill


class Keyed:
    """Dense rows, one per string id, made at the id's first mention.

    Row numbers depend on the order of mention, so no answer may depend on them: they address, they never rank.

    A row that somebody holds (`hold`) stays. The others are given back once there are more than `most_loose` of them, those first that
    nobody has held for the longest time: their ids are forgotten, and their rows are used again under another `generation`.

    Parameters
    ----------
    capacity
        Rows to reserve address space for: up to here, a new row costs what it writes. Beyond, everything is copied once to where there is
        room for twice as many, which takes about 1 s per million rows of a table of videos.
    most_loose
        Rows that nobody holds, about; `trim` gives back what is above.

    Attributes
    ----------
    generation : column of uint32
        How often a row was given back: who keeps a row keeps its generation, and looks again.

    Examples
    --------
    >>> videos = Keyed(capacity=1)
    >>> likes = videos.column(np.int64)
    >>> row = videos.row("a")
    >>> likes.values[row] = 3
    >>> videos.row("b"), videos.find("c"), likes.values[: len(videos)].tolist()
    (1, -1, [3, 0])
    """

    def __init__(self, *, capacity: int = RESERVED, most_loose: int = 1_000_000) -> None:
        if capacity < 1:
            message = f"expected a capacity of at least 1, got {capacity}, at capacity"
            raise ValueError(message)
        self.capacity = capacity
        self.most_loose = most_loose
        self.ids: list[str] = []
        # A dict of a million ids stalls for longer than an answer takes when it grows; many small ones do not.
        self._shards: list[dict[str, int]] = [{} for _ in range(_SHARDS)]
        self._used = 0
        self._free: list[int] = []
        self._loose: dict[int, None] = {}
        self._forget: list[Callable[[list[int]], None]] = []
        self._columns: list[Column] = []
        self.generation = self.column(np.uint32)
        self._holders = self.column(np.uint32)
        self._places = self.column(np.int32)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, dtype: DTypeLike, *, width: tuple[int, ...] = (), fill: float = 0) -> Column:
        """Add a column; entries of rows that are not written hold `fill`."""
        column = Column(dtype=dtype, width=width, fill=fill, capacity=self.capacity)
        column.use(self._used)
        self._columns.append(column)
        return column

    def when_given_back(self, forget: Callable[[list[int]], None]) -> None:
        """Call `forget` with the rows that are given back, before their ids are forgotten."""
        self._forget.append(forget)

    def row(self, key: str) -> int:
        """Return the row of `key`, making it if this is its first mention."""
        shard = self._shards[hash(key) % _SHARDS]
        row = shard.get(key)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self.ids[row] = key
        else:
            row = len(self.ids)
            if row == self._used:
                self._use_more()
            self.ids.append(key)
        shard[key] = row
        self._loose[row] = None
        return row

    @property
    def rows(self) -> dict[str, int]:
        """All ids and their rows, as they are now; as long as the table."""
        return {key: row for shard in self._shards for key, row in shard.items()}

    def find(self, key: str | None) -> int:
        """Return the row of `key`, or -1 if it is not known."""
        return -1 if key is None else self._shards[hash(key) % _SHARDS].get(key, -1)

    def code(self, key: str | None) -> int:
        """Return the row of `key`, making it if need be; -1 for None."""
        return -1 if key is None else self.row(key)

    def names(self, rows: NDArray[np.integer]) -> list[str]:
        """Return the ids of `rows`, in their order."""
        return list(map(self.ids.__getitem__, rows.tolist()))

    def hold(self, row: int) -> None:
        """Keep a row until it is let go as often as it was held; -1 is no row."""
        if row >= 0:
            self._holders.values[row] += 1
            self._loose.pop(row, None)

    def let_go(self, row: int) -> None:
        """Take one hold back."""
        if row >= 0:
            self._holders.values[row] -= 1
            if self._holders.values[row] == 0:
                self._loose[row] = None

    def trim(self) -> None:
        """Give rows back, some at a time, if there are too many that nobody holds. Not while anybody works with rows."""
        if len(self._loose) <= self.most_loose:
            return
        loose = iter(self._loose)
        rows = [row for row, _ in zip(loose, range(_GIVEN_BACK), strict=False)]
        for forget in self._forget:
            forget(rows)
        generations = self.generation.values[rows] + 1
        for column in self._columns:
            column.clear(rows)
        self.generation.values[rows] = generations
        for row in rows:
            key = self.ids[row]
            del self._shards[hash(key) % _SHARDS][key], self._loose[row]
            self.ids[row] = ""
        self._free += rows

    def places(self, rows: NDArray[np.integer], members: NDArray[np.integer]) -> Rows:
        """Return where each of `rows` stands in `members`, len(members) where it does not, in time that depends on both lengths alone.

        Of a member that is named twice, the last place counts; -1 ("unknown") stands nowhere.

        The sparse set of Briggs and Torczon (1993): what an entry of `_places` says counts only if the member there says the same.
        """
        n = len(members)
        if n == 0:
            return np.zeros(len(rows), dtype=np.intp)
        self._places.values[members] = np.arange(n, dtype=np.int32)
        places: Rows = np.minimum(self._places.values[rows], n - 1).astype(np.intp)
        places[members[places] != rows] = n
        places[rows < 0] = n
        return places

    def among(self, rows: NDArray[np.integer], members: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which of `rows` are among `members`, shape (n,)."""
        return self.places(rows, members) < len(members)

    def distinct(self, rows: NDArray[np.integer]) -> tuple[Rows, Rows]:
        """Return the places of the first mentions in `rows`, ascending, and for each of `rows` which of these has the same row."""
        rows = rows.astype(np.intp, copy=False)
        places = np.arange(len(rows), dtype=np.int32)
        self._places.values[rows[::-1]] = places[::-1]
        first = self._places.values[rows]
        new = first == places
        return np.flatnonzero(new), (np.cumsum(new) - 1)[first]

    def _use_more(self) -> None:
        if self._used == self.capacity:
            self.capacity *= 2
        self._used = min(self._used + _AT_ONCE, self.capacity)
        for column in self._columns:
            column.use(self._used)


def _reserved(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of zeros that takes memory page by page as it is written.

    numpy's own would ask for huge pages: 2 MiB for the first entry of each column.
    """
    size = prod(shape) * dtype.itemsize
    if size == 0:
        return np.zeros(shape, dtype=dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype=dtype).reshape(shape)
