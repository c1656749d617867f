"""Keeps the videos and creators that moderation blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import numpy as np

from operators.tables.keyed import Column, Keyed
from operators.tables.view import Shared, SideView, ViewExample
from schemas.catalog import Moderation
from schemas.validity import keyed


class ModerationTable(SideView[Moderation]):
    """Blocked videos and creators, as one flag a row.

    Parameters
    ----------
    videos, creators
        The row spaces.
    """

    topic = "control.moderation"
    message = Moderation

    def __init__(self, *, videos: Keyed, creators: Keyed) -> None:
        self.videos = videos
        self.creators = creators
        self.video = videos.column(np.bool_)
        self.creator = creators.column(np.bool_)

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(videos=shared.videos, creators=shared.creators)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> Moderation:
        """Decode a verdict."""
        return keyed(Moderation, "key", key, value)

    def apply(self, moderation: Moderation) -> None:
        """Take in a verdict."""
        if moderation.kind == "video":
            _block(self.videos, self.video, self.videos.row(moderation.id), blocked=moderation.blocked)
        else:
            _block(self.creators, self.creator, self.creators.row(moderation.id), blocked=moderation.blocked)

    def delete(self, key: str) -> None:
        """Take a verdict back; `key` is `video:ID` or `creator:ID`."""
        kind, _, name = key.partition(":")
        if kind == "video" and (row := self.videos.find(name)) >= 0:
            _block(self.videos, self.video, row, blocked=False)
        if kind == "creator" and (row := self.creators.find(name)) >= 0:
            _block(self.creators, self.creator, row, blocked=False)

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield verdicts on videos and creators."""

        def verdict(kind: Literal["video", "creator"], name: str, *, blocked: bool = True) -> tuple[str, Moderation]:
            return f"{kind}:{name}", Moderation(kind=kind, id=name, blocked=blocked, at_ms=1)

        def read(table: ModerationTable) -> object:
            sides = ((table.videos, table.video), (table.creators, table.creator))
            return [sorted(name for name, row in rows.rows.items() if column.values[row]) for rows, column in sides]

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), creators=Keyed()),
            records=[verdict("video", "a"), verdict("creator", "a"), verdict("video", "b", blocked=False), verdict("creator", "c:d")],
            read=read,
            endless=lambda n: verdict("video", f"v{n % 20}", blocked=n % 3 > 0),
            bound=100,
        )


def _block(keyed: Keyed, flags: Column, row: int, *, blocked: bool) -> None:
    """Set a flag; a row that is blocked is held, so that the verdict outlives whatever else is known of it."""
    if blocked and not flags.values[row]:
        keyed.hold(row)
    if not blocked and flags.values[row]:
        keyed.let_go(row)
    flags.values[row] = blocked
