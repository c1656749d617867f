from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from operators.pipeline import Selection
from operators.query import Query
from operators.reranking.page import SpacedPage
from operators.tables.side import SideTables
from schemas.learning import Objective
from tests.operators.feed_world import Record, ask, item, page, record, tables, vector


def world(records: list[Record], *, exploration: float = 0.0) -> SideTables:
    """Tables with an exploration rate."""
    objective = Objective(version="t", heads={"taken": 1.0}, exploration_rate=exploration)
    return tables([*records, record("control.objective", "feed", objective)])


def select(query: Query, ids: list[str], *, limit: int, explorable: set[str] = frozenset()) -> tuple[Selection, list[str]]:  # type: ignore[assignment]
    """A page of `ids` in the ranker's order."""
    rows = np.array([query.tables.videos.find(video_id) for video_id in ids], dtype=np.intp)
    selection = SpacedPage().select(query, rows, np.array([video_id in explorable for video_id in ids], dtype=np.bool_), limit)
    return selection, [ids[slot.rank] for slot in selection.slots]


def test_the_rankers_order_stands_where_no_rule_is_broken() -> None:
    ids = [f"v{i}" for i in range(30)]
    selection, shown = select(ask(world([item(video_id) for video_id in ids])), ids, limit=10)
    assert shown == ids[:10]
    assert {(slot.explored, slot.propensity) for slot in selection.slots} == {(False, 1.0)}


def test_no_two_in_a_row_are_by_one_creator_or_on_one_audio() -> None:
    made = world([item("a", creator_id="x"), item("b", creator_id="x"), item("c", audio_id="s"), item("d", audio_id="s"), item("e")])
    assert select(ask(made), list("abcde"), limit=5)[1] == ["a", "c", "b", "d", "e"]


def test_the_last_video_of_the_page_before_counts() -> None:
    made = world([item("a", creator_id="x"), item("b", creator_id="x"), item("c")])
    assert select(ask(made, pages=[page(["a"])]), ["b", "c"], limit=2)[1] == ["c", "b"]


def test_a_category_is_held_to_three_of_ten_but_nothing_is_delayed_for_long() -> None:
    # the ranker's order: kkkkkkkkkkkk, then others; the page:  kkk ..... kkkk (those that would be more than five late)
    records = [item(f"v{i}", category="k" if i < 12 else f"other{i}") for i in range(24)]
    _, shown = select(ask(world(records)), [f"v{i}" for i in range(24)], limit=12)
    assert shown[:8] == ["v0", "v1", "v2", "v12", "v13", "v14", "v15", "v16"]
    assert shown[8:] == ["v3", "v4", "v5", "v6"]


def test_a_page_shows_many_categories_where_scores_are_mixed() -> None:
    records = [item(f"v{i}", category=f"k{min(i % 12, 5)}") for i in range(120)]
    _, shown = select(ask(world(records)), [f"v{i}" for i in range(120)], limit=20)
    assert len({min(int(one[1:]) % 12, 5) for one in shown[:10]}) >= 5


def test_rules_give_way_before_a_page_stays_empty() -> None:
    made = world([item(f"v{i}", creator_id="only", category="k") for i in range(100)])
    ids = [f"v{i}" for i in range(100)]
    assert select(ask(made), ids, limit=80)[1] == ids[:80]


def test_what_fits_is_fetched_from_far_down_before_a_rule_gives_way() -> None:
    made = world([item(f"v{i}", creator_id="only") for i in range(300)] + [item("other", creator_id="another")])
    ids = [f"v{i}" for i in range(300)] + ["other"]
    assert select(ask(made), ids, limit=3)[1] == ["v0", "other", "v1"]


def test_near_duplicates_of_the_page_and_of_the_session_are_dropped_and_replaced() -> None:
    alike, apart = 0b1111_1111_0000, 0b1111_1111_0000 ^ 0b111_1111
    hashes = {"a": alike, "b": alike ^ 0b11_1111, "c": apart, "d": 1 << 50 | (1 << 63) - (1 << 55), "e": 0, "f": 0}
    made = world([item(x) for x in hashes] + [vector(x, simhash=simhash) for x, simhash in hashes.items()])
    selection, shown = select(ask(made), list(hashes), limit=6)
    assert shown == ["a", "c", "d", "e", "f"]
    assert selection.removed == [(1, "near_duplicate")]
    selection, shown = select(ask(made, pages=[page(["z"], simhashes=[hashes["d"], 0])]), list(hashes), limit=6)
    assert shown == ["a", "c", "e", "f"]
    assert sorted(selection.removed) == [(1, "near_duplicate"), (3, "near_duplicate")]


def test_propensities_are_how_often_chance_puts_an_item_at_a_place() -> None:
    ids = ["a", "b", "c", "d", "e"]
    made = world([item(video_id) for video_id in ids], exploration=0.3)
    first: Counter[str] = Counter()
    said: dict[str, float] = {}
    n = 6_000
    for i in range(n):
        selection, shown = select(ask(made, request_id=f"r{i}"), ids, limit=1, explorable={"a", "d", "e"})
        first[shown[0]] += 1
        said[shown[0]] = selection.slots[0].propensity
    assert said == pytest.approx({"a": 0.8, "d": 0.1, "e": 0.1})
    for video_id, propensity in said.items():
        assert first[video_id] / n == pytest.approx(propensity, abs=0.02)


def test_exploration_follows_the_seed_and_the_request_alone() -> None:
    ids = [f"v{i}" for i in range(60)]
    made = world([item(video_id) for video_id in ids], exploration=0.5)
    explorable = set(ids[40:])
    runs = [select(ask(made, request_id=name), ids, limit=20, explorable=explorable)[0] for name in ("r1", "r1", "r2")]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert any(slot.explored for slot in runs[0].slots)
    assert len({slot.rank for slot in runs[0].slots}) == 20


def test_explored_items_keep_the_spacing() -> None:
    made = world([item(f"v{i}", creator_id=f"c{i % 2}") for i in range(40)], exploration=0.5)
    ids = [f"v{i}" for i in range(40)]
    for i in range(50):
        _, shown = select(ask(made, request_id=f"r{i}"), ids, limit=10, explorable=set(ids))
        creators = [int(name[1:]) % 2 for name in shown]
        assert all(a != b for a, b in zip(creators, creators[1:], strict=False))


def test_nothing_to_rank_gives_an_empty_page() -> None:
    assert select(ask(world([])), [], limit=5)[0] == Selection([], [])
