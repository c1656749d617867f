from __future__ import annotations

import random

import numpy as np
import pytest

from schemas.catalog import CatalogItem
from schemas.telemetry import InteractionType as Kind
from schemas.telemetry import RawEvent
from serving.simulator.world import CATEGORIES, World
from tests.operators.closed_loop import ClosedLoop, did

NOW_MS = 1_700_000_000_000
LIMIT = 10
PAGES = 7
OPEN = 5
"""Places of a page of 10 that the category rule leaves to one category (operators.reranking.page.SpacedPage)."""
BAR = 0.6
OTHERS = {
    "Food": ("pasta", "bread", "grill"),
    "Sport": ("goal", "derby", "coach"),
    "Pets": ("kitten", "dog", "bird"),
    "Tech": ("kafka", "python", "redis"),
    "Music": ("guitar", "drum", "vinyl"),
    "Travel": ("train", "island", "map"),
}


def second_catalogue(n: int = 3_000) -> list[CatalogItem]:
    """Videos of another maker: other names of categories, no category among the tags."""
    chance = random.Random(1)
    made = []
    for i in range(n):
        category = chance.choice(list(OTHERS))
        words = chance.sample(OTHERS[category], 2)
        made.append(
            CatalogItem(
                video_id=f"own-{i}",
                title=f"{words[0]} and {words[1]} {chance.randrange(10**6)}",
                tags=tuple(words),
                category=category,
                creator_id=f"maker-{chance.randrange(150)}",
                duration_ms=chance.randrange(8, 60) * 1_000,
                uploaded_ms=NOW_MS - chance.randrange(86_400_000 * 20),
            )
        )
    return made


def lived_in(world: World, *, pages: int) -> ClosedLoop:
    """A system with both catalogues that the world's people have used for a while."""
    loop = ClosedLoop([*world.catalogue(NOW_MS), *second_catalogue()], now_ms=NOW_MS)
    chance = random.Random(2)
    for _ in range(pages):
        person = chance.choice(world.people)
        loop.happen(person.user_id, world.react(person, loop.ask(person.user_id), loop.now_ms))
        loop.now_ms += 1_000
    return loop


def reaction(loop: ClosedLoop, user_id: str, wanted: str) -> list[int]:
    """Finish and like what is of one category, skip the rest; return how many of it each page had."""
    had = []
    for page in range(PAGES):
        shown = loop.ask(user_id, limit=LIMIT).items
        had.append(sum(item.category == wanted for item in shown))
        events: list[RawEvent] = []
        for n, item in enumerate(shown):
            at_ms, name = loop.now_ms + 10 * n, f"{user_id}-{page}-{n}"
            events.append(did(Kind.IMPRESSION, item.video_id, at_ms, name=name + "i"))
            if item.category == wanted:
                events.append(did(Kind.WATCH_TIME, item.video_id, at_ms + 1, name=name + "w", value=40.0, completed=True))
                events.append(did(Kind.LIKE, item.video_id, at_ms + 2, name=name + "l"))
            else:
                events.append(did(Kind.WATCH_TIME, item.video_id, at_ms + 1, name=name + "w", value=0.8))
                events.append(did(Kind.SKIP, item.video_id, at_ms + 2, name=name + "s"))
        loop.happen(user_id, events)
        loop.now_ms += 5_000
    return had


@pytest.mark.parametrize("pages", [0, 300], ids=["a new system", "a system in use"])
def test_who_likes_one_category_and_skips_the_rest_gets_it_on_the_next_page(pages: int) -> None:
    loop = lived_in(World(seed=0, people=60, videos=1_000), pages=pages)
    had = {wanted: reaction(loop, f"new-{wanted}", wanted) for wanted in CATEGORIES}
    for wanted, counts in had.items():
        first = int(np.flatnonzero(counts)[0])
        assert min(counts[first + 1 :]) >= BAR * OPEN, (wanted, counts)
