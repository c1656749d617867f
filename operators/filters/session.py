"""Drops videos that were served in this session already, whether they were looked at or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows


class ServedThisSession:
    """Drops what stands on the pages of the last 30 minutes, so that back-to-back pages never repeat a video."""

    reason = "session"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` were served, shape (n,)."""
        return query.tables.videos.mask(query.session)[rows]


class ServedLastPage:
    """Drops what stands on the newest page: the part of the session rule that holds even when everything else was shown already."""

    reason = "last_page"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` stand on the newest page, shape (n,)."""
        if not query.pages:
            return np.zeros(len(rows), dtype=np.bool_)
        return query.tables.videos.mask(query.rows_of(query.pages[-1].video_ids))[rows]
