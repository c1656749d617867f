from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from schemas.catalog import CatalogItem
from schemas.telemetry import Context, RawEvent
from schemas.telemetry import InteractionType as Kind
from tests.operators.closed_loop import ClosedLoop, did

NOW_MS = 1_700_000_000_000
YEARS_AGO_MS = 1_400_000_000_000
VIDEOS = 1_500
"""More than are taken whole."""


def plain_catalogue(n: int) -> list[CatalogItem]:
    """Videos of which nothing but the title is known."""
    return [CatalogItem(video_id=f"v{i:04d}", title=f"film number {i} {i * 7919 % 1009} {i * 104729 % 997}") for i in range(n)]


def ratings(kind: Kind, at_ms: int) -> list[tuple[str, RawEvent]]:
    """Interactions of 40 people whose choice is skewed, in an order of time that says nothing of popularity."""
    rng = np.random.default_rng(4)
    places = np.minimum(rng.zipf(1.3, size=3_000) - 1, VIDEOS - 1)
    names = rng.permutation(VIDEOS)
    return [(f"u{n % 40}", did(kind, f"v{names[place]:04d}", at_ms + n, name=f"e{n}")) for n, place in enumerate(places.tolist())]


@pytest.mark.parametrize("kind", [Kind.LIKE, Kind.FINISH, Kind.SAVE, Kind.CLICK])
@pytest.mark.parametrize("at_ms", [YEARS_AGO_MS, NOW_MS - 60_000])
def test_a_log_of_one_kind_however_old_ranks_the_popular_first_for_somebody_new(kind: Kind, at_ms: int) -> None:
    loop = ClosedLoop(plain_catalogue(VIDEOS), now_ms=NOW_MS)
    log = ratings(kind, at_ms)
    for user in range(40):
        loop.happen(f"u{user}", [event for who, event in log if who == f"u{user}"])
    most = [video_id for video_id, _ in Counter(event.video_id for _, event in log).most_common(30)]
    shown = [one.video_id for one in loop.ask("new", limit=10).items]
    assert len(set(shown) & set(most)) >= 8, (shown, most)
    assert most[0] in shown[:3]


def test_trending_in_a_category_goes_by_the_category_from_event_to_page() -> None:
    catalogue = [
        CatalogItem(video_id=f"v{i}", title=f"a{i} b{i} c{i}", category="Food" if i % 2 else "Sport", tags=("pasta",), creator_id=f"c{i}")
        for i in range(40)
    ]
    loop = ClosedLoop(catalogue, now_ms=NOW_MS)
    loop.happen("somebody", [did(Kind.LIKE, f"v{i}", NOW_MS - 1_000 + i, name=f"s{i}") for i in range(0, 20)])
    loop.happen("me", [did(Kind.FINISH, "v39", NOW_MS - 500, name="m")])
    answer = loop.ask("me", limit=20, context=Context(region="DE"))
    found = answer.items
    assert {one.category for one in found if one.source == "trending_category"} <= {"Food"}
    assert loop.found["trending_category"] == 10 + 1
    assert loop.found["liked_category"] == 20
