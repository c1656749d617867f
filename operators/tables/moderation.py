"""Keeps the videos and creators that moderation blocks."""

from __future__ import annotations

import numpy as np

from operators.tables.keyed import Keyed
from schemas.catalog import Moderation


class ModerationTable:
    """Blocked videos and creators, as one flag a row.

    Parameters
    ----------
    videos, creators
        The row spaces.
    """

    def __init__(self, *, videos: Keyed, creators: Keyed) -> None:
        self.videos = videos
        self.creators = creators
        self.video = videos.column(np.bool_)
        self.creator = creators.column(np.bool_)

    def upsert(self, moderation: Moderation) -> None:
        """Take in a verdict."""
        if moderation.kind == "video":
            row = self.videos.row(moderation.id)
            self.video.values[row] = moderation.blocked
        else:
            row = self.creators.row(moderation.id)
            self.creator.values[row] = moderation.blocked

    def delete(self, key: str) -> None:
        """Take a verdict back; `key` is `video:ID` or `creator:ID`."""
        kind, _, name = key.partition(":")
        if kind == "video" and (row := self.videos.find(name)) >= 0:
            self.video.values[row] = False
        if kind == "creator" and (row := self.creators.find(name)) >= 0:
            self.creator.values[row] = False
