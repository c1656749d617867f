"""Drops videos that were served in this session already, whether they were looked at or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.stages import Filter


class ServedThisSession(Filter):
    """Drops what stands on the pages of the last 30 minutes, so that back-to-back pages never repeat a video."""

    name = "session"

    def enabled(self, query: Query) -> bool:
        """Return whether anything was served in this session."""
        return len(query.session) > 0

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` were served, shape (n,)."""
        return query.tables.videos.among(rows, query.session)


class ServedLastPage(Filter):
    """Drops what stands on the newest page: the part of the session rule that holds even when everything else was shown already."""

    name = "last_page"

    def enabled(self, query: Query) -> bool:
        """Return whether there is a newest page."""
        return bool(query.pages)

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` stand on the newest page, shape (n,)."""
        newest = query.pages[-1].video_ids if query.pages else []
        return query.tables.videos.among(rows, query.rows_of(newest))
