"""Candidates watched together with what the person watched last ("because you watched")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.interactions import REACTED
from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS, best
from operators.stages import Source


class WatchedTogether(Source):
    """Item neighbours of the last watches, the recent ones counting most.

    score(v) = Σ_r s_r · weight(watched_r → v), s_r: how much the watch counts (Query.neighbourhood)

    Parameters
    ----------
    most
        Candidates to return at most.
    """

    name = "neighbours"

    def __init__(self, *, most: int = 500) -> None:
        self.most = most

    def retrieve(self, query: Query) -> Rows:
        """Return the most watched together, best first."""
        if len(query.watched.rows) == 0:
            return NO_ROWS
        rows, together = query.co_watched
        wanted = np.flatnonzero((together > 0) & query.tables.items.listed.values[rows])
        return best(rows[wanted], together[wanted], query.tables.items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Name the video that speaks most for each, of those that are still listed and have a title.

        Of one that was reacted to, and perhaps never watched, no more is said than that the person enjoyed it.
        """
        joined = query.neighbourhood
        records = map(query.tables.items.record, query.watched.rows.tolist())
        titles = [None if record is None else record.title or None for record in records]
        found = np.flatnonzero(query.tables.videos.among(joined.rows, np.array(rows)))
        enjoyed = np.isin(query.watched.rows, query.positives.rows) & (query.watched.weights == REACTED)
        words = [f"Because you {'enjoyed' if one else 'watched'} {title}" for one, title in zip(enjoyed.tolist(), titles, strict=True)]
        strongest: dict[int, tuple[float, str]] = {}
        shares, places = joined.weights[found].tolist(), joined.places[found].tolist()
        for row, share, place in zip(joined.rows[found].tolist(), shares, places, strict=True):
            if titles[place] is not None and (row not in strongest or share > strongest[row][0]):
                strongest[row] = share, words[place]
        return [strongest[row][1] if row in strongest else "Because of what you watched or enjoyed" for row in rows]
