"""Applies the filters to the candidates, and finds the mildest relaxation that leaves something to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.outcome import Codes, Outcome, merged
from operators.query import Query, Rows
from operators.stages import Filter, LastResort


def judge(query: Query, outcome: Outcome, filters: Sequence[Filter], safety: Collection[str], skip: Collection[str]) -> None:
    """Let every filter look at every candidate, and note in `outcome.codes` which would drop which.

    A filter that raises, or that is in `skip`, is named in `outcome.skipped`: one of safety drops everything, any other nothing.
    """
    for bit, one in enumerate(filters):
        if one.reason not in skip:
            try:
                outcome.codes[one.removed(query, outcome.rows)] |= np.uint32(1 << bit)
            except Exception as error:
                outcome.skip(one.reason, error)
            else:
                continue
        outcome.skip(one.reason)
        if one.reason in safety:
            outcome.codes |= np.uint32(1 << bit)


def dropped(codes: Codes, filters: Sequence[Filter], relaxed: Collection[str]) -> NDArray[np.uint8]:
    """Return 0 for each row that is kept, else 1 + the place of the first filter that drops it, shape (n,)."""
    found = np.zeros(len(codes), dtype=np.uint8)
    for bit, one in reversed(tuple(enumerate(filters))):
        if one.reason not in relaxed:
            found[(codes & np.uint32(1 << bit)) > 0] = bit + 1
    return found


def offered(  # noqa: PLR0917
    resort: LastResort,
    query: Query,
    outcome: Outcome,
    filters: Sequence[Filter],
    safety: Collection[str],
    relaxations: Sequence[Collection[str]],
) -> Rows:
    """Return the best rows of the catalogue under the first relaxation that leaves any; none where all rows are candidates already.

    Raises
    ------
    RuntimeError
        If a filter raised.
    """
    rows = resort.everything(query)
    if query.tables.videos.mask(outcome.rows)[rows].all():
        return rows[:0]
    whole = merged([rows], query.tables.videos.capacity)
    judge(query, whole, filters, safety, outcome.skipped)
    if whole.errors:
        message = f"expected every filter to look at {len(rows)} rows, got {whole.errors}, at filters"
        raise RuntimeError(message)
    patterns = np.flatnonzero(np.bincount(whole.codes))
    for relaxed in relaxations:
        enforced = sum(1 << bit for bit, one in enumerate(filters) if one.reason not in relaxed)
        if (patterns & enforced == 0).any():
            return resort.best(query, np.asarray(whole.rows[(whole.codes & np.uint32(enforced)) == 0]))
    return rows[:0]
