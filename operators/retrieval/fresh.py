"""Candidates that were uploaded a short while ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from operators.query import Query, Rows
from operators.stages import Source
from operators.tables.orders import ALL


class FreshUploads(Source):
    """The newest uploads of the last days.

    Parameters
    ----------
    most
        Candidates to return at most.
    max_age
        Older ones are not fresh any more.
    """

    name = "fresh"

    def __init__(self, *, most: int = 100, max_age: timedelta = timedelta(days=3)) -> None:
        self.most = most
        self.max_age = max_age

    def retrieve(self, query: Query) -> Rows:
        """Return the newest uploads, newest first; uploads after "now" are not there yet."""
        oldest = query.now_ms - self.max_age // timedelta(milliseconds=1)
        return query.tables.orders.newest.head(ALL, self.most, above=oldest, until=query.now_ms)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say that they are new."""
        return ["Just uploaded"] * len(rows)
