"""A person's row while it is worked on: packs to the same bytes as schemas.features.UserState."""

from __future__ import annotations

import msgspec

from schemas.features import N_COUNTERS, PANES, Profile

Panes = list[tuple[int, list[int]]]
"""(minute, counts of shape (N_COUNTERS,)), oldest first."""
Takens = list[tuple[str, float, int]]
"""(video_id, strength, at_ms), oldest first."""


class TagRow(msgspec.Struct, array_like=True, gc=False):
    """A tag of a person; the changeable twin of TagInterest."""

    weight: float
    at_ms: int
    totals: list[int]
    panes: Panes


class UserRow(msgspec.Struct, array_like=True, gc=False):
    """A person; the changeable twin of UserState."""

    user_id: str
    version: int
    updated_ms: int
    totals: list[int]
    panes: Panes
    tags: dict[str, TagRow]
    positives: Takens
    recent: Takens
    hidden_videos: list[str]
    hidden_creators: list[str]
    followed_creators: list[str]
    seen_count: int = 0
    late: int = 0
    profile: Profile | None = None


class Idle(msgspec.Struct, array_like=True, gc=False):
    """The first fields of a row, to be read without the others."""

    user_id: str
    version: int
    updated_ms: int


pack_row = msgspec.msgpack.Encoder().encode
unpack_row = msgspec.msgpack.Decoder(UserRow).decode
unpack_idle = msgspec.msgpack.Decoder(Idle).decode


def new_row(user_id: str, version: int) -> UserRow:
    """Return the row of somebody of whom nothing is known."""
    return UserRow(user_id, version, 0, [0] * N_COUNTERS, [], {}, [], [], [], [], [])


def new_tag(at_ms: int) -> TagRow:
    """Return a tag that nothing is known of."""
    return TagRow(0.0, at_ms, [0] * N_COUNTERS, [])


def pane_of(panes: Panes, minute: int) -> list[int] | None:
    """Return the counts of a minute, made if need be; None when it is older than all PANES panes. Panes that expire are dropped.

    >>> panes: Panes = []
    >>> pane_of(panes, 100) is pane_of(panes, 100), pane_of(panes, 70), len(panes)
    (True, None, 1)
    >>> _ = pane_of(panes, 71), pane_of(panes, 101)
    >>> [minute for minute, _ in panes]
    [100, 101]
    """
    at = len(panes)
    if at > 0:
        newest = panes[-1][0]
        if minute == newest:
            return panes[-1][1]
        if minute > newest:
            while panes and panes[0][0] <= minute - PANES:
                del panes[0]
            at = len(panes)
        elif minute <= newest - PANES:
            return None
        else:
            while at > 0 and panes[at - 1][0] > minute:
                at -= 1
            if at > 0 and panes[at - 1][0] == minute:
                return panes[at - 1][1]
    counts = [0] * N_COUNTERS
    panes.insert(at, (minute, counts))
    return counts


def place(takens: Takens, video_id: str, strength: float, at_ms: int, most: int) -> None:
    """Put a video in by its time, newest last; the oldest beyond `most` are dropped.

    >>> takens: Takens = [("a", 1.0, 10), ("b", 1.0, 30)]
    >>> place(takens, "c", 1.0, 20, 2)
    >>> takens
    [('c', 1.0, 20), ('b', 1.0, 30)]
    """
    at = len(takens)
    while at > 0 and takens[at - 1][2] > at_ms:
        at -= 1
    takens.insert(at, (video_id, strength, at_ms))
    if len(takens) > most:
        del takens[: len(takens) - most]


def index_in(takens: Takens, video_id: str) -> int:
    """Return where a video stands, -1 where it does not; the newest are looked at first.

    >>> index_in([("a", 1.0, 10), ("b", 1.0, 30)], "a"), index_in([], "a")
    (0, -1)
    """
    if takens and takens[-1][0] == video_id:
        return len(takens) - 1
    ids = [one[0] for one in takens]
    return ids.index(video_id) if video_id in ids else -1
