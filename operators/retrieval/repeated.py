"""Candidates of the page that is asked for again."""

from __future__ import annotations

from collections.abc import Sequence

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS
from operators.stages import Source
from schemas.feed import MAX_LIMIT


class RepeatedPage(Source):
    """The videos of the page that was served to the request's cursor, or to its id, before.

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "repeated"

    def __init__(self, *, most: int = MAX_LIMIT) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return them in their order; nothing where the request repeats no page."""
        return NO_ROWS if query.repeated is None else query.rows_of(query.repeated.video_ids[: self.most])

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say that they were shown."""
        return ["Shown before"] * len(rows)
