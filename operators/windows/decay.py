"""Exponentially decayed sums of many keys at once, exact however events are cut into batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.features import Counter

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class DecayedSum(NamedTuple):
    """A counter and the time in which its past loses half of its weight."""

    counter: Counter
    half_life_ms: int


DECAYED: tuple[DecayedSum, ...] = tuple(
    DecayedSum(counter, half_life_ms)
    for counter in (Counter.IMPRESSIONS, Counter.CLICKS, Counter.LONG_VIEWS, Counter.LIKES)
    for half_life_ms in (HOUR_MS, 12 * HOUR_MS, DAY_MS, 4 * DAY_MS)
)
"""What `EntityCounters.decayed.values` holds, in this order."""

N_DECAYED = len(DECAYED)
HALF_LIVES_MS: NDArray[np.int64] = np.array([one.half_life_ms for one in DECAYED], dtype=np.int64)


def index_of(counter: Counter, half_life_ms: int) -> int:
    """Return the place of a decayed sum in `Decayed.values`.

    Raises
    ------
    ValueError
        If the table has no such sum.

    Examples
    --------
    >>> index_of(Counter.LONG_VIEWS, 24 * 3_600_000)
    10
    """
    return DECAYED.index(DecayedSum(counter, half_life_ms))


def value_at(values: NDArray[np.float64], at_ms: NDArray[np.int64], now_ms: int) -> NDArray[np.float64]:
    r"""Return decayed sums at `now_ms`.

    value(now) = value · 2^(−max(now − at, 0) / half_life)

    Parameters
    ----------
    values
        (n, N_DECAYED) float64, as of `at_ms`.
    at_ms
        (n,) int64.

    Returns
    -------
    (n, N_DECAYED) float64

    Examples
    --------
    >>> from numpy import array, full
    >>> float(value_at(full((1, N_DECAYED), 8.0), array([0]), 12 * 3_600_000)[0, 1])
    4.0
    """
    age_ms = np.maximum(now_ms - at_ms, 0)
    aged: NDArray[np.float64] = values * np.exp2(-(age_ms[:, None] / HALF_LIVES_MS))
    return aged


class DecayedTable:
    r"""Decayed sums of many rows, the same bits however the events are cut into batches and whatever order late ones come in.

    An event at t adds 2^(t / half_life). With t = q · half_life + r that is 2^q · 2^(r / half_life), q whole: a row keeps
    Σ 2^(q_i − Q) · 2^(r_i / half_life), Q being the whole half-lives of its latest event. Moving Q multiplies by a power of two, which
    rounds nothing.

    Parameters
    ----------
    half_lives_ms
        (k,) int64: the half-life of each column.
    capacity
        Rows to begin with.

    Attributes
    ----------
    sums : (capacity, k) float64
        Scaled; `values` gives what they stand for.

    Examples
    --------
    >>> table = DecayedTable(half_lives_ms=np.array([1_000]), capacity=1)
    >>> row, column = np.array([0]), np.array([0])
    >>> table.move(row, np.array([0]), np.array([5_500]))
    >>> table.add(row, column, np.array([5_500]), np.array([5_500]), np.array([1]))
    >>> table.add(row, column, np.array([4_500]), np.array([5_500]), np.array([1]))
    >>> table.values(row, np.array([5_500])).tolist()
    [[1.5]]
    """

    def __init__(self, *, half_lives_ms: NDArray[np.int64], capacity: int) -> None:
        self.half_lives_ms = half_lives_ms
        self.sums: NDArray[np.float64] = np.zeros((capacity, len(half_lives_ms)))

    def move(self, rows: NDArray[np.int64], was_ms: NDArray[np.int64], now_ms: NDArray[np.int64]) -> None:
        """Move rows, each named once, from the time of their latest event so far to that of their latest event now."""
        steps = was_ms[:, None] // self.half_lives_ms - now_ms[:, None] // self.half_lives_ms
        self.sums[rows] = np.ldexp(self.sums[rows], np.maximum(steps, _LOWEST).astype(np.int32))

    def add(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        at_ms: NDArray[np.int64],
        latest_ms: NDArray[np.int64],
        amounts: NDArray[np.int64],
    ) -> None:
        """Add events at `at_ms` to a column of rows whose latest event is at `latest_ms`, `amounts` times; all of shape (n,), in order."""
        half_lives_ms = self.half_lives_ms[columns]
        whole, rest = np.divmod(at_ms, half_lives_ms)
        steps = np.maximum(whole - latest_ms // half_lives_ms, _LOWEST).astype(np.int32)
        added = amounts * np.ldexp(np.exp2(rest / half_lives_ms), steps)
        np.add.at(self.sums.reshape(-1), rows * len(self.half_lives_ms) + columns, added)

    def values(self, rows: NDArray[np.int64], latest_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the decayed sums as of each row's latest event, shape (n, k)."""
        rest = latest_ms[:, None] % self.half_lives_ms
        values: NDArray[np.float64] = self.sums[rows] / np.exp2(rest / self.half_lives_ms)
        return values


_LOWEST = -2_000
