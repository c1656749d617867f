"""Remembers which ids came, in one cell of a hash table each, and forgets the oldest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

SLICE_MS = 10_000
"""Ids that came in the same ten seconds, by the broker's clock, are saved together."""
N_SLICES = 65_536
"""Slices are numbered up to this and then from 0 again, every 7.6 days."""
GENERATIONS = 4
FULLEST = 0.7
"""Share of the cells that may be taken; with more of them looking up takes longer."""

_HEAD = np.dtype([("generation", "<u8"), ("n", "<u8")])
_CELL = np.dtype([("at", "<u4"), ("kept", "<u8")])


def slice_of(received_ms: int) -> int:
    """Return the number of the slice of the ids that came at `received_ms`."""
    return received_ms // SLICE_MS % N_SLICES


class _Generation:
    """Ids that came in a row, in a hash table with linear probing.

    A cell holds the upper 48 bits of an id and below them the 16 of its slice; it is looked for from where the id's lower bits say. An
    empty cell is zero. Cells never move, so what was saved of them stays right.
    """

    __slots__ = ("cells", "counts", "mask", "most", "n", "opened_ms", "table")

    def __init__(self, opened_ms: int, most: int) -> None:
        n_cells = 1 << int(most / FULLEST).bit_length()
        self.opened_ms = opened_ms
        self.most = most
        self.n = 0
        self.counts: dict[int, int] = {}
        self.cells = np.zeros(n_cells, np.uint64)
        self.table = memoryview(self.cells.data)
        self.mask = n_cells - 1

    def add(self, number: int, slice_number: int) -> None:
        table, mask = self.table, self.mask
        at = number & mask
        while table[at]:
            at = (at + 1) & mask
        table[at] = ((number >> 16) or 1) << 16 | slice_number
        self.n += 1
        self.counts[slice_number] = self.counts.get(slice_number, 0) + 1

    def saved(self, number: int, slice_number: int) -> bytes:
        """Return the cells of a slice and where they are, behind the number of this generation."""
        at = np.flatnonzero(self.cells.view(np.uint16)[::4] == slice_number)
        found = np.empty(len(at), _CELL)
        found["at"], found["kept"] = at, self.cells[at]
        found = found[found["kept"] != 0]
        return bytes(np.array([(number, len(found))], _HEAD)) + bytes(found)

    def put_back(self, saved: np.ndarray[Any, Any], slice_number: int) -> None:
        self.n += len(saved) - self.counts.get(slice_number, 0)
        self.counts[slice_number] = len(saved)
        self.cells[saved["at"]] = saved["kept"]


class RecentIds:
    """A set of 64-bit ids that forgets the oldest.

    There are four generations. When the newest holds a quarter of `capacity`, or is a third of `horizon` old, another begins, and the fifth
    goes. So an id is remembered for `horizon` at least, unless more than three quarters of `capacity` come in that time.

    A new id is taken for a known one where 48 bits agree in cells that lie together: with a chance below 10⁻¹³.

    Parameters
    ----------
    capacity
        Ids in memory at most. A generation takes 8 bytes for each of its cells, a power of two of them, as soon as it begins: 33.6 MB at
        10 million ids, which is 13.4 bytes an id when all four are full.
    horizon
        How long an id is remembered, where the capacity suffices; at most five days.

    Raises
    ------
    ValueError
        If `capacity` is less than 4, or `horizon` is not above 0 and at most five days.

    Examples
    --------
    >>> ids = RecentIds(capacity=1_000, horizon=timedelta(hours=24))
    >>> ids.add(2**40, 1_000), ids.add(2**40, 2_000), 2**40 in ids, len(ids)
    (True, False, True, 1)
    """

    def __init__(self, *, capacity: int, horizon: timedelta) -> None:
        if capacity < GENERATIONS:
            text = f"expected at least {GENERATIONS}, got {capacity}, at capacity"
            raise ValueError(text)
        if not timedelta(0) < horizon <= timedelta(days=5):
            text = f"expected more than nothing and at most 5 days, got {horizon}, at horizon"
            raise ValueError(text)
        self.capacity = capacity
        self.horizon = horizon
        self._oldest_ms = horizon // timedelta(milliseconds=1) // (GENERATIONS - 1)
        self._most = capacity // GENERATIONS
        self._newest = 0
        self._newest_ms = 0
        self._generations: dict[int, _Generation] = {}
        self._waiting: dict[int, bytes] | None = {}

    def __len__(self) -> int:
        """Return how many ids are held."""
        return sum(one.n for one in list(self._generations.values()))

    @property
    def n_bytes(self) -> int:
        """Bytes of the hash tables."""
        return sum(one.cells.nbytes for one in list(self._generations.values()))

    def __contains__(self, number: int) -> bool:
        """Return whether an id is held."""
        kept = (number >> 16) or 1
        for generation in self._generations.values():
            table, mask = generation.table, generation.mask
            at = number & mask
            while cell := table[at]:
                if cell >> 16 == kept:
                    return True
                at = (at + 1) & mask
        return False

    def add(self, number: int, received_ms: int) -> bool:
        """Take in an id; return whether it was not held.

        Parameters
        ----------
        number
            The id, 0 to 2⁶⁴ - 1, evenly spread.
        received_ms
            When it came, by the broker's clock; ids of several partitions need not come in order.
        """
        if number in self:
            return False
        newest = self._generations.get(self._newest)
        if newest is None or newest.n >= newest.most or received_ms - newest.opened_ms >= self._oldest_ms:
            self._newest += 1
            newest = self._generations[self._newest] = _Generation(received_ms, self._most)
            self._generations.pop(self._newest - GENERATIONS, None)
        newest.add(number, slice_of(received_ms))
        self._newest_ms = max(self._newest_ms, received_ms)
        return True

    @property
    def horizon_s(self) -> float:
        """How long an id is remembered at the rate at which those that are held came; `horizon` while not even a generation is full."""
        longest_s = self.horizon.total_seconds()
        held = len(self)
        if held <= self._most:
            return longest_s
        span_ms = self._newest_ms - min(one.opened_ms for one in list(self._generations.values()))
        return min(longest_s, (GENERATIONS - 1) * self._most * max(span_ms, 1) / held / 1000)

    def slices(self) -> set[int]:
        """Return the slices that ids are held of."""
        return {number for one in self._generations.values() for number in one.counts}

    def holds_slice(self, slice_number: int) -> bool:
        """Return whether an id of a slice is held."""
        return any(slice_number in one.counts for one in self._generations.values())

    def head(self) -> dict[str, Any]:
        """Return the generations, without their ids."""
        generations = {number: (one.opened_ms, one.most) for number, one in self._generations.items()}
        return {"newest": self._newest, "newest_ms": self._newest_ms, "generations": generations}

    def restore_head(self, head: dict[str, Any]) -> None:
        """Take back what `head` returned, and the slices that came before it; generations stay as large as they were."""
        self._newest, self._newest_ms = head["newest"], head["newest_ms"]
        self._generations = {number: _Generation(*one) for number, one in head["generations"].items()}
        waiting, self._waiting = self._waiting or {}, None
        for slice_number, data in waiting.items():
            self.restore_slice(slice_number, data)

    def snapshot_slice(self, slice_number: int) -> bytes:
        """Return the ids of a slice, 12 bytes each; empty where none is held."""
        return b"".join(one.saved(number, slice_number) for number, one in self._generations.items() if slice_number in one.counts)

    def restore_slice(self, slice_number: int, data: bytes) -> None:
        """Take back what `snapshot_slice` returned, without the generations that were forgotten since."""
        if self._waiting is not None:
            self._waiting[slice_number] = data
            return
        at = 0
        while at < len(data):
            number, n = np.frombuffer(data, _HEAD, 1, at)[0].tolist()
            at += _HEAD.itemsize
            if number in self._generations:
                self._generations[number].put_back(np.frombuffer(data, _CELL, n, at), slice_number)
            at += n * _CELL.itemsize
