"""The snapshot of the label join."""

from __future__ import annotations

import msgspec

from operators.joins.outcomes import Outcome, View
from operators.joins.pages import HeldPage
from operators.joins.waiting import Key


class JoinState(msgspec.Struct, kw_only=True, array_like=True):
    """All that `ServedOutcomes` holds but the bulk of the pages.

    Its size goes with the pages held: about 0.3 kB for one of 20 items, 1 kB for one of 100.
    """

    events_ms: int
    watermark_ms: int
    served_ms: int
    following: int
    pages: dict[int, HeldPage]
    tracked: list[tuple[int, View]]
    untracked: list[tuple[int, View]]
    settling: list[Outcome]
    waiting: list[tuple[Key, Outcome]]
    unresolved: list[tuple[Key, Outcome]]
    marks: list[tuple[int, int, int, int]]
    counts: dict[str, int]
