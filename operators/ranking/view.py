"""Gathers the candidates' counters once, for all features of a request."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.tables.entities import PANED
from operators.windows.decay import HOUR_MS
from schemas.features import Counter

Values = NDArray[np.float64]
MINUTES = (5, 30)


class View:
    """The candidates of one request.

    Every value depends on the query and on its own row, never on the other rows: elementwise arithmetic only, so that a candidate's
    features have the same bits whoever stands beside it.

    Parameters
    ----------
    query
        The request and its person.
    rows : (n,) intp
        The candidates.
    """

    def __init__(self, query: Query, rows: Rows) -> None:
        self.query = query
        self.tables = query.tables
        self.rows = rows

    def constant(self, value: float) -> Values:
        """Return the same value for every candidate."""
        return np.full(len(self.rows), value)

    def total(self, counter: Counter) -> Values:
        """Return a counter's total."""
        total: Values = self._totals[counter]
        return total

    def decayed(self, index: int) -> Values:
        """Return a decayed sum at the request's now; `index` is its place in operators.windows.decay."""
        return self.tables.counters.decayed_at(self.rows, index, self.query.now_ms)

    def window(self, counter: Counter, minutes: int) -> Values:
        """Return a counter over the last 5 or 30 minutes."""
        window: Values = self._windows[MINUTES.index(minutes), PANED.index(counter)]
        return window

    def rate(self, counter: Counter, of: Counter, *, prior: float, strength: float) -> Values:
        """Return counter/of, drawn towards `prior` as if `strength` more had been counted."""
        rate: Values = (self._totals[counter] + prior * strength) / (self._totals[of] + strength)
        return rate

    def creator_rate(self, counter: Counter, of: Counter, *, prior: float, strength: float) -> Values:
        """Return the same rate of the candidate's creator; the prior where the creator is unknown."""
        totals = self.tables.creator_counters.totals.values
        known = self.creators >= 0
        above = np.where(known, totals[self.creators, counter], 0)
        below = np.where(known, totals[self.creators, of], 0)
        rate: Values = (above + prior * strength) / (below + strength)
        return rate

    @cached_property
    def creators(self) -> NDArray[np.int32]:
        """Creator code of each candidate."""
        creators: NDArray[np.int32] = self.tables.items.creator.values[self.rows]
        return creators

    @cached_property
    def categories(self) -> NDArray[np.int32]:
        """Category code of each candidate, -1 where it is unknown."""
        categories: NDArray[np.int32] = self.tables.items.category.values[self.rows]
        return categories

    def summed_over_tags(self, by_tag: Values) -> Values:
        """Return the sum of `by_tag`, in the order of the person's tags, over the tags of each candidate."""
        padded, values = np.append(by_tag, 0.0), self.constant(0.0)
        for places in self._of_person:
            values += padded[places]
        return values

    @cached_property
    def tags(self) -> list[NDArray[np.int32]]:
        """Tag codes of each candidate: one array of shape (n,) per place that any candidate uses, -1 where there are fewer."""
        columns = np.ascontiguousarray(self.tables.items.tag.values[self.rows].T)
        return [column for column in columns if (column >= 0).any()]

    @cached_property
    def _of_person(self) -> list[Rows]:
        """Where the tags of each candidate stand among the person's, one array per entry of `tags`."""
        query = self.query
        return [query.tables.tags.places(codes, query.tags) for codes in self.tags]

    @cached_property
    def age_hours(self) -> Values:
        """Hours since the upload; a month where it is unknown."""
        uploaded = self.tables.items.uploaded_ms.values[self.rows]
        hours = np.maximum(self.query.now_ms - uploaded, 0) / HOUR_MS
        return np.where(uploaded >= 0, hours, 720.0)

    @cached_property
    def _totals(self) -> Values:
        return self.tables.counters.totals.values[self.rows].T.astype(np.float64)

    @cached_property
    def _windows(self) -> Values:
        return self.tables.counters.windows(self.rows, MINUTES, self.query.now_ms).astype(np.float64)
