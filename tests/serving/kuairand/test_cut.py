"""What a schedule keeps when it is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from schemas.feed import FeedRequest
from serving.kuairand import Schedule, read_folder, schedule
from serving.loading import cut

WriteFolder = Callable[..., Path]


def test_a_schedule_is_cut_by_rows_days_and_rows_to_ask_before(write_folder: WriteFolder) -> None:
    whole = schedule(read_folder(write_folder()), requests=True, limit=10)

    def kinds(of: Schedule) -> list[tuple[str, int]]:
        return [
            ("request" if isinstance(each.message, FeedRequest) else "event", row) for each, row in zip(of, of.rows.tolist(), strict=True)
        ]

    assert cut(whole).rows.tolist() == whole.rows.tolist()
    assert {row for _, row in kinds(cut(whole, rows=2))} == {0, 1}
    frozen = kinds(cut(whole, freeze_after=20300102))
    assert {row for kind, row in frozen if kind == "event"} == {0, 1}
    assert {row for kind, row in frozen if kind == "request"} == set(range(len(whole.log)))
    asked = kinds(cut(whole, ask_rows=np.array([3])))
    assert {row for kind, row in asked if kind == "request"} == {3}
    assert {row for kind, row in asked if kind == "event"} == {row for kind, row in kinds(whole) if kind == "event"}
