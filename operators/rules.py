"""Applies the filters to the candidates, and finds the mildest relaxation that leaves something to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.guard import Guard
from operators.outcome import Codes, Outcome, merged
from operators.query import Rows
from operators.stages import Filter, LastResort


def judge(guard: Guard, outcome: Outcome, filters: Sequence[Filter], safety: Collection[str]) -> None:
    """Let every filter look at every candidate, and note in `outcome.codes` which would drop which.

    A filter that fails, or must not take part, drops everything if it is one of safety, else nothing.
    """
    n = len(outcome.rows)
    nothing, everything = np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
    for bit, one in enumerate(filters):

        def work(one: Filter = one) -> NDArray[np.bool_]:
            return _mask(one.removed(guard.query, outcome.rows), n)

        gone = guard.run(one, work, absent=nothing, failed=everything if one.name in safety else nothing)
        outcome.codes[gone] |= np.uint32(1 << bit)


def dropped(codes: Codes, filters: Sequence[Filter], relaxed: Collection[str]) -> NDArray[np.uint8]:
    """Return 0 for each row that is kept, else 1 + the place of the first filter that drops it, shape (n,)."""
    found = np.zeros(len(codes), dtype=np.uint8)
    for bit, one in reversed(tuple(enumerate(filters))):
        if one.name not in relaxed:
            found[(codes & np.uint32(1 << bit)) > 0] = bit + 1
    return found


def offered(  # noqa: PLR0917
    resort: LastResort,
    guard: Guard,
    outcome: Outcome,
    filters: Sequence[Filter],
    safety: Collection[str],
    relaxations: Sequence[Collection[str]],
) -> Rows:
    """Return the best of what the last resort offers under the first relaxation that leaves any; none where all are candidates already.

    Raises
    ------
    RuntimeError
        If a filter raised.
    """
    query = guard.query
    rows = resort.everything(query)
    if query.tables.videos.among(rows, outcome.rows).all():
        return rows[:0]
    whole, aside = merged([rows], query.tables.videos), guard.aside()
    judge(aside, whole, filters, safety)
    if aside.errors:
        message = f"expected every filter to look at {len(rows)} rows, got {aside.errors}, at filters"
        raise RuntimeError(message)
    patterns = np.flatnonzero(np.bincount(whole.codes))
    for relaxed in relaxations:
        enforced = sum(1 << bit for bit, one in enumerate(filters) if one.name not in relaxed)
        if (patterns & enforced == 0).any():
            return resort.best(query, np.asarray(whole.rows[(whole.codes & np.uint32(enforced)) == 0]))
    return rows[:0]


def _mask(removed: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    if removed.dtype != np.bool_ or removed.shape != (n,):
        message = f"expected {n} booleans, got {removed.dtype} of shape {removed.shape}"
        raise ValueError(message)
    return removed
