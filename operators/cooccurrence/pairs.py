"""Counts of pairs of videos, sparse: for each video the others it was counted with."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.int32]
Counts: TypeAlias = NDArray[np.int32]

_EMPTY: Codes = np.empty(0, dtype=np.int32)
_FLUSH_AT = 500_000


class PairCounts:
    """Symmetric counts C[i, j] of videos that are known by codes 0, 1, 2, ...

    New pairs are gathered and taken into the rows in bulk: sorted once, then one merge for each row that changed. Eight bytes a pair and
    direction, 12 % of room to grow.

    Attributes
    ----------
    mass : (n_videos,) int64
        Σ_j C[i, j] of every row, pairs that were dropped included.
    """

    def __init__(self) -> None:
        self.mass: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._codes: list[Codes] = []
        self._counts: list[Counts] = []
        self._sizes: list[int] = []
        self._new_rows = array("i")
        self._new_lengths = array("i")
        self._new_codes = array("i")

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def full(self) -> bool:
        """Whether so many pairs were gathered that they should be taken in."""
        return len(self._new_codes) >= _FLUSH_AT

    def grow(self, n_videos: int) -> None:
        """Make empty rows up to `n_videos`."""
        more = n_videos - len(self._sizes)
        if more > 0:
            self._codes.extend([_EMPTY] * more)
            self._counts.extend([_EMPTY] * more)
            self._sizes.extend([0] * more)
            self.mass = np.concatenate([self.mass, np.zeros(more, dtype=np.int64)])

    def gather(self, code: int, others: array[int]) -> None:
        """Count one video once with each of some others, which differ from it and from each other."""
        self._new_rows.append(code)
        self._new_lengths.append(len(others))
        self._new_codes.extend(others)

    def flush(self) -> None:
        """Take what was gathered into the rows."""
        if not self._new_codes:
            return
        left = np.repeat(np.frombuffer(self._new_rows, dtype=np.int32), np.frombuffer(self._new_lengths, dtype=np.int32))
        right = np.frombuffer(self._new_codes, dtype=np.int32)
        self._new_rows, self._new_lengths, self._new_codes = array("i"), array("i"), array("i")
        rows, codes = np.concatenate([left, right]), np.concatenate([right, left])
        self.grow(int(rows.max()) + 1)
        # numpy sorts 16-bit keys by radix: ten times as fast as 32-bit ones.
        narrow = rows.astype(np.uint16) if len(self._sizes) <= 1 << 16 else rows
        order = np.argsort(narrow, kind="stable")
        rows, codes = rows[order], codes[order]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(rows)) + 1, [len(rows)]])
        self.mass[rows[starts[:-1]]] += np.diff(starts)
        places = np.full(len(self._sizes), -1, dtype=np.int32)
        count = np.arange(max(self._sizes) + 1, dtype=np.int32)
        ends = starts.tolist()
        for row, start, end in zip(rows[starts[:-1]].tolist(), ends, ends[1:], strict=False):
            self._merge(row, codes[start:end], places, count)

    def row(self, code: int) -> tuple[Codes, Counts]:
        """Return the codes and counts of a row, in no order; views that the next flush may change."""
        size = self._sizes[code]
        return self._codes[code][:size], self._counts[code][:size]

    def keep(self, code: int, kept: NDArray[np.intp]) -> None:
        """Drop all pairs of a row but those at the places `kept`; the other direction stays."""
        codes, counts = self.row(code)
        self._put(code, codes[kept], counts[kept])

    def recode(self, new_codes: Codes) -> None:
        """Give videos new codes, shape (n_videos,), ascending where they stay; -1 drops a video and its pairs."""
        stay = np.flatnonzero(new_codes >= 0)
        rows = [self.row(code) for code in stay.tolist()]
        mass = self.mass[stay]
        self._codes, self._counts, self._sizes, self.mass = [], [], [], mass[:0]
        self.grow(len(stay))
        self.mass = mass
        for code, (codes, counts) in enumerate(rows):
            moved = new_codes[codes]
            self._put(code, moved[moved >= 0], counts[moved >= 0])

    def pack(self, rows_each: int) -> Iterator[tuple[int, bytes, bytes, bytes, bytes]]:
        """Yield blocks of rows: first row, sizes, codes, counts, masses; codes ascend within a row."""
        for start in range(0, len(self._sizes), rows_each):
            end = min(start + rows_each, len(self._sizes))
            rows = [self.row(code) for code in range(start, end)]
            orders = [np.argsort(codes) for codes, _ in rows]
            codes = np.concatenate([codes[order] for (codes, _), order in zip(rows, orders, strict=True)])
            counts = np.concatenate([counts[order] for (_, counts), order in zip(rows, orders, strict=True)])
            sizes = np.array(self._sizes[start:end], dtype=np.int32)
            yield start, sizes.tobytes(), codes.tobytes(), counts.tobytes(), self.mass[start:end].tobytes()

    def unpack(self, block: tuple[int, bytes, bytes, bytes, bytes]) -> None:
        """Take back a block that `pack` yielded."""
        start = block[0]
        sizes = np.frombuffer(block[1], dtype=np.int32)
        codes = np.frombuffer(block[2], dtype=np.int32)
        counts = np.frombuffer(block[3], dtype=np.int32)
        self.grow(start + len(sizes))
        self.mass[start : start + len(sizes)] = np.frombuffer(block[4], dtype=np.int64)
        at = 0
        for row, size in enumerate(sizes.tolist(), start):
            self._put(row, codes[at : at + size], counts[at : at + size])
            at += size

    def _put(self, row: int, codes: Codes, counts: Counts) -> None:
        self._codes[row], self._counts[row], self._sizes[row] = codes.copy(), counts.copy(), len(codes)

    def _merge(self, row: int, codes: Codes, places: Codes, count: Codes) -> None:
        """Take pairs into a row; `places` is -1 everywhere, before and after, `count` is 0, 1, 2, ..."""
        size = self._sizes[row]
        known = self._codes[row][:size]
        places[known] = count[:size]
        found = places[codes]
        places[known] = -1
        is_new = found < 0
        has_new = bool(is_new.any())
        if size:
            counts = self._counts[row][:size]
            np.add(counts, np.bincount(found[~is_new] if has_new else found, minlength=size), out=counts, casting="unsafe")
        if not has_new:
            return
        fresh, times = np.unique(codes[is_new], return_counts=True)
        end = size + len(fresh)
        if end > len(self._codes[row]):
            room = end * 9 // 8 + 4
            for columns in (self._codes, self._counts):
                wider = np.empty(room, dtype=np.int32)
                wider[:size] = columns[row][:size]
                columns[row] = wider
        self._codes[row][size:end] = fresh
        self._counts[row][size:end] = times
        self._sizes[row] = end
