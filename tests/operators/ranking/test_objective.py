from __future__ import annotations

import pytest

from operators.ranking.features import INITIAL_OBJECTIVE
from schemas.learning import HEADS, Objective
from schemas.telemetry import InteractionType as Kind
from tests.operators.closed_loop import ClosedLoop, did
from tests.operators.feed_world import feed, record
from tests.operators.test_popularity import NOW_MS, YEARS_AGO_MS, plain_catalogue


def test_the_built_in_objective_weighs_every_head_and_only_dislikes_against() -> None:
    assert set(INITIAL_OBJECTIVE.heads) == set(HEADS)
    assert [head for head, weight in INITIAL_OBJECTIVE.heads.items() if weight < 0] == ["negative"]


@pytest.mark.parametrize("head", [head for head in HEADS if head != "negative"])
def test_no_head_orders_by_id_before_it_has_learned(head: str) -> None:
    loop = ClosedLoop(plain_catalogue(60), now_ms=NOW_MS)
    loop.happen("u", [did(Kind.LIKE, f"v{n:04d}", YEARS_AGO_MS + n, name=str(n)) for n in (41, 17)])
    feed(loop.tables, [record("control.objective", "feed", Objective(version="1", heads={head: 1.0}, exploration_rate=0.0))])
    shown = [one.video_id for one in loop.ask("new", limit=20).items]
    assert set(shown[:2]) == {"v0041", "v0017"}
    assert shown[2:] != sorted(shown[2:])
