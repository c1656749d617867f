"""Rows in order of a key, kept when the key changes."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Place = tuple[int, float, int]

_MOST = 1_024
_NOTHING: Rows = np.empty(0, dtype=np.intp)


class _Block:
    """Some entries that follow each other; keys are negated, so that all ascend."""

    __slots__ = ("groups", "keys", "rows", "ties")

    def __init__(self) -> None:
        self.groups = array("i")
        self.keys = array("d")
        self.ties = array("Q")
        self.rows = array("i")

    def __len__(self) -> int:
        return len(self.rows)

    def insert(self, place: int, entry: Place, row: int) -> None:
        self.groups.insert(place, entry[0])
        self.keys.insert(place, entry[1])
        self.ties.insert(place, entry[2])
        self.rows.insert(place, row)

    def pop(self, place: int) -> None:
        for one in (self.groups, self.keys, self.ties, self.rows):
            one.pop(place)

    def cut(self, place: int) -> _Block:
        """Return what stands from `place` on, and keep what stands before."""
        tail = _Block()
        tail.groups, self.groups = self.groups[place:], self.groups[:place]
        tail.keys, self.keys = self.keys[place:], self.keys[:place]
        tail.ties, self.ties = self.ties[place:], self.ties[:place]
        tail.rows, self.rows = self.rows[place:], self.rows[:place]
        return tail

    def entry(self, place: int) -> Place:
        return self.groups[place], self.keys[place], self.ties[place]

    def find(self, entry: Place) -> int:
        """Return the place of the first entry that is not before `entry`."""
        group, key, tie = entry
        low, high = 0, len(self.rows)
        if high > 0 and (self.groups[0] != group or self.groups[-1] != group):
            low = bisect_left(self.groups, group)
            high = bisect_right(self.groups, group, low)
        low = bisect_left(self.keys, key, low, high)
        high = bisect_right(self.keys, key, low, high)
        return bisect_left(self.ties, tie, low, high)


class Ordered:
    r"""Rows of any number of groups, each group by descending key; equal keys by ascending tie.

    The order depends on what is in it, never on how it came there. A change costs O(log n + block), reading k rows O(log n + k), whatever
    n is. An entry takes 24 bytes, in blocks of at most 1,024 that are at least half full on average.

    Examples
    --------
    >>> order = Ordered()
    >>> for key, tie, row in ((2.0, 9, 0), (5.0, 4, 1), (2.0, 3, 2), (0.0, 1, 3)):
    ...     order.add(7, key, tie, row)
    >>> order.head(7, 3).tolist(), order.head(7, 9, above=0.0).tolist(), order.circle(7, 2.0, 5, 9).tolist()
    ([1, 2, 0], [1, 2, 0], [0, 2])
    >>> order.remove(7, 5.0, 4, 1)
    >>> order.head(7, 1).tolist(), order.head(8, 1).tolist(), len(order)
    ([2], [], 3)
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._lasts: list[Place] = []
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, group: int, key: float, tie: int, row: int) -> None:
        """Put a row in."""
        entry = (group, -key, tie)
        self._n += 1
        if not self._blocks:
            self._blocks.append(_Block())
            self._lasts.append(entry)
        number = min(bisect_left(self._lasts, entry), len(self._blocks) - 1)
        block = self._blocks[number]
        block.insert(block.find(entry), entry, row)
        self._lasts[number] = max(self._lasts[number], entry)
        if len(block) > _MOST:
            self._blocks.insert(number + 1, block.cut(_MOST // 2))
            self._lasts.insert(number, block.entry(-1))

    def remove(self, group: int, key: float, tie: int, row: int) -> None:
        """Take out a row that was put in under this key and tie."""
        number, place = self._locate((group, -key, tie), row)
        self._n -= 1
        self._blocks[number].pop(place)
        self._joined(number)

    def move(self, group: int, old: float, new: float, tie: int, row: int) -> None:
        """Put a row that was put in under the key `old` under the key `new`; cheapest where it passes no other."""
        number, place = self._locate((group, -old, tie), row)
        block, entry = self._blocks[number], (group, -new, tie)
        after = 0 < place and block.entry(place - 1) <= entry
        if after and place + 1 < len(block) and entry <= block.entry(place + 1):
            block.keys[place] = -new
        else:
            self.remove(group, old, tie, row)
            self.add(group, new, tie, row)

    def head(self, group: int, most: int, *, above: float = -np.inf, until: float = np.inf) -> Rows:
        """Return the first `most` rows of a group whose key is at most `until` and greater than `above`; -inf excludes nothing."""
        limit = -above if above == -np.inf else float(np.nextafter(-above, -np.inf))
        return self._read((group, -until, 0), most, limit)

    def circle(self, group: int, key: float, tie: int, most: int) -> Rows:
        """Return `most` of the rows of a group that have this very key: those from `tie` on, then those from the smallest tie on."""
        rows = self._read((group, -key, tie), most, -key)
        if len(rows) == most:
            return rows
        first = self._read((group, -key, 0), most - len(rows), -key)
        return np.concatenate((rows, first[~np.isin(first, rows)]))

    def _locate(self, entry: Place, row: int) -> tuple[int, int]:
        number = bisect_left(self._lasts, entry)
        place = self._blocks[number].find(entry)
        while self._blocks[number].rows[place] != row:
            place += 1
            if place == len(self._blocks[number]):
                number, place = number + 1, 0
        return number, place

    def _read(self, start: Place, most: int, limit: float) -> Rows:
        """Return up to `most` rows from `start` on: of the same group, with a (negated) key of at most `limit`."""
        parts: list[NDArray[np.int32]] = []
        missing, group = most, start[0]
        for number in range(bisect_left(self._lasts, start), len(self._blocks)):
            block = self._blocks[number]
            low = 0 if parts else block.find(start)
            high = bisect_right(block.keys, limit, low, bisect_right(block.groups, group, low))
            parts.append(np.frombuffer(block.rows, dtype=np.int32)[low : min(high, low + missing)])
            missing -= len(parts[-1])
            if missing == 0 or high < len(block):
                break
        return np.concatenate(parts).astype(np.intp) if parts else _NOTHING

    def _joined(self, number: int) -> None:
        """Keep blocks from being many and small after one lost an entry."""
        block = self._blocks[number]
        following = number + 1
        if 0 < len(block) < _MOST // 4 and following < len(self._blocks) and len(block) + len(self._blocks[following]) <= _MOST // 2:
            other = self._blocks.pop(following)
            self._lasts.pop(following)
            block.groups += other.groups
            block.keys += other.keys
            block.ties += other.ties
            block.rows += other.rows
        if len(block) > 0:
            self._lasts[number] = block.entry(-1)
        else:
            del self._blocks[number], self._lasts[number]
