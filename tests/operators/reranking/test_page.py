from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.query import Query
from operators.reranking.page import SpacedPage
from operators.stages import Selection
from operators.tables.side import SideTables
from schemas.learning import Objective
from tests.operators.feed_world import Record, ask, item, page, record, tables, vector


def world(records: list[Record], *, exploration: float = 0.0) -> SideTables:
    """Tables with an exploration rate."""
    objective = Objective(version="t", heads={"taken": 1.0}, exploration_rate=exploration)
    return tables([*records, record("control.objective", "feed", objective)])


def select(
    query: Query,
    ids: list[str],
    *,
    limit: int,
    explorable: set[str] = frozenset(),  # type: ignore[assignment]
    relaxed: tuple[str, ...] = (),
) -> tuple[Selection, list[str]]:
    """A page of `ids` in the ranker's order."""
    rows = np.array([query.tables.videos.find(video_id) for video_id in ids], dtype=np.intp)
    selection = SpacedPage().select(query, rows, np.array([video_id in explorable for video_id in ids], dtype=np.bool_), limit, relaxed)
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


def categories(shown: list[str], made: SideTables) -> set[int]:
    """The known categories of a page."""
    return {int(made.items.category.values[made.videos.find(name)]) for name in shown} - {-1}


@pytest.mark.parametrize(("limit", "least"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 4), (9, 5), (10, 5), (20, 5), (100, 5)])
def test_a_page_shows_so_many_categories_where_two_fill_the_head_of_the_list(limit: int, least: int) -> None:
    # the ranker's order: k, j, k, j, ... 400 times, then one video each of eight others
    records = [item(f"v{i}", category="kj"[i % 2]) for i in range(400)] + [item(f"o{i}", category=f"other{i}") for i in range(8)]
    made = world(records)
    _, shown = select(ask(made), [*(f"v{i}" for i in range(400)), *(f"o{i}" for i in range(8))], limit=limit)
    assert len(shown) == limit
    assert len(categories(shown, made)) >= least


def test_the_places_kept_for_other_categories_are_the_last_ones() -> None:
    head, tail = [f"v{i}" for i in range(60)], [f"o{i}" for i in range(8)]
    made = world([item(name, category="kjm"[i % 3]) for i, name in enumerate(head)] + [item(name, category=name) for name in tail])
    assert select(ask(made), [*head, *tail], limit=10)[1] == [*head[:8], "o0", "o1"]


@pytest.mark.parametrize(("limit", "most"), [(5, 3), (8, 3), (9, 4), (10, 5), (20, 15)])
def test_one_category_may_have_as_many_places_as_the_page_says(limit: int, most: int) -> None:
    ids = [f"v{i}" for i in range(100)]
    made = world([item(video_id, category="liked" if i < 60 else f"other{i % 8}") for i, video_id in enumerate(ids)])
    _, shown = select(ask(made), ids, limit=limit)
    assert sum(int(name[1:]) < 60 for name in shown) == most


@given(
    codes=st.lists(st.integers(-1, 7), min_size=1, max_size=120),
    alike=st.lists(st.booleans(), min_size=120, max_size=120),
    limit=st.integers(1, 30),
    exploration=st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=200, deadline=None)
def test_a_page_has_five_categories_if_the_list_has_them(codes: list[int], alike: list[bool], limit: int, exploration: float) -> None:
    ids = [f"v{i}" for i in range(len(codes))]
    records = [item(video_id, category=None if code < 0 else f"k{code}") for video_id, code in zip(ids, codes, strict=True)]
    made = world(
        [*records, *(vector(video_id, simhash=77) for video_id, same in zip(ids, alike, strict=False) if same)], exploration=exploration
    )
    selection, shown = select(ask(made), ids, limit=limit, explorable=set(ids[1::2]))
    shared = [i for i, rank in enumerate(slot.rank for slot in selection.slots) if alike[rank]]
    distinct = {code for code, same in zip(codes, alike, strict=False) if code >= 0 and not same}
    needed = min(5, -(-limit // 2), len(distinct))
    assert len(shared) <= 1
    assert len(shown) == len(set(shown)) <= limit
    assert needed < 2 or len(categories(shown, made)) >= needed


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
    asked = ask(made, pages=[page(["z"], simhashes=[hashes["d"], 0])])
    assert select(asked, list(hashes), limit=6, relaxed=("near_duplicate",))[1] == ["a", "c", "d", "e", "f"]
    selection, shown = select(asked, list(hashes), limit=6)
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
