"""Exponentially decayed sums of many keys at once, exact however events are cut into batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.features import Counter, Decayed

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


def values_now(decayed: Decayed | None, now_ms: int) -> NDArray[np.float64]:
    """Return one entity's decayed sums at `now_ms`, (N_DECAYED,) float64; zeros where nothing is known."""
    if decayed is None or len(decayed.values) != N_DECAYED:
        return np.zeros(N_DECAYED)
    aged: NDArray[np.float64] = value_at(np.array([decayed.values]), np.array([decayed.at_ms]), now_ms)[0]
    return aged
