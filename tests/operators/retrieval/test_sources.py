from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.retrieval.best import best, foremost
from operators.retrieval.exploration import ExplorationPool
from operators.retrieval.followed import FollowedCreators
from operators.retrieval.fresh import FreshUploads
from operators.retrieval.neighbours import WatchedTogether
from operators.retrieval.popular import Popular
from operators.retrieval.surface import PopularOnSurface
from operators.retrieval.trending import Trending, TrendingInCategories, TrendingInRegion
from operators.retrieval.vectors import NearTaste
from operators.retrieval.whole import WholeCatalogue
from schemas.telemetry import Context
from tests.operators.feed_world import (
    DAY_MS,
    NOW_MS,
    Record,
    ask,
    counters,
    feed,
    install_segment,
    item,
    names,
    neighbours,
    rich_person,
    state,
    tables,
    taken,
    trending,
    vector,
)


def test_ties_of_the_best_do_not_depend_on_rows() -> None:
    hashes = np.array([5, 3, 9, 1], dtype=np.uint64)
    scores = np.array([1.0, 1.0, 2.0, 1.0])
    rows = np.arange(4)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert best(rows[order], scores[order], hashes, 3).tolist() == [2, 3, 1]


@given(
    scores=st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.5]), min_size=1, max_size=40),
    seed=st.integers(0, 9),
    most=st.integers(1, 45),
)
def test_the_foremost_are_the_head_of_all_in_order(scores: list[float], seed: int, most: int) -> None:
    values, ties = np.array(scores), np.random.default_rng(seed).permutation(len(scores)).astype(np.uint64)
    assert foremost(values, ties, most).tolist() == np.lexsort((ties, -values))[:most].tolist()


def test_the_newest_watch_counts_most_among_neighbours() -> None:
    made = tables([item(x) for x in "abpq"] + [neighbours("a", {"p": 0.5}), neighbours("b", {"q": 0.5, "gone": 9.0})])
    query = ask(made, state(recent=taken(["a", "unknown", "b"])))
    found = WatchedTogether(most=5).retrieve(query)
    assert names(made, found) == ["q", "p"]
    together = dict(zip(names(made, query.co_watched[0]), query.co_watched[1].tolist(), strict=True))
    assert together == pytest.approx({"q": 0.5, "p": 0.5 * 0.95**2, "gone": 9.0})
    assert len(WatchedTogether().retrieve(ask(made))) == 0


def test_a_watch_that_the_catalogue_never_listed_leaves_the_words_of_the_others() -> None:
    made = tables([item("a", title="Alpha"), item("p"), neighbours("a", {"p": 0.5}), neighbours("unlisted", {"p": 0.9})])
    query = ask(made, state(recent=taken(["a", "unlisted"])))
    source = WatchedTogether(most=5)
    assert source.because(query, source.retrieve(query).tolist()) == ["Because you watched Alpha"]


def test_near_taste_finds_in_the_segment_and_beside_it_and_leaves_out_what_is_stale_or_deleted() -> None:
    made = tables(
        [item(x) for x in "abcdef"]
        + [vector("a", 100), vector("b", 90, 20), vector("c", 80, 40), vector("d", 70, 60), vector("e", 60, 70), vector("f", 0, 100)]
    )
    install_segment(made, "abcd", vectors_offset=4)
    feed(made, [vector("b", 0, 100), ("catalog.items", "c", None), ("catalog.vectors", "d", None)])
    query = ask(made, state(positives=taken(["a"])))
    found = NearTaste(most=10).retrieve(query)
    assert names(made, found) == ["a", "e", *sorted("bf", key=lambda x: int(made.items.hashes.values[made.videos.find(x)]))]
    assert query.similarity(found).tolist() == [12_700.0, 127 * 60, 0.0, 0.0]


def test_taste_is_exact_whatever_the_segment_holds() -> None:
    rng = np.random.default_rng(3)
    ids = [f"v{i}" for i in range(300)]
    records: list[Record] = [item(video_id) for video_id in ids]
    records += [vector(video_id, *rng.integers(-127, 128, size=64).tolist()) for video_id in ids]
    person = state(positives=taken(["v3", "v7"]))
    without, with_segment = tables(records), tables(records)
    install_segment(with_segment, ids[:200], vectors_offset=200)
    plain = NearTaste(most=20).retrieve(ask(without, person))
    parted = NearTaste(most=20).retrieve(ask(with_segment, person))
    assert plain.tolist() == parted.tolist()


def test_trending_lists_come_by_scope() -> None:
    lists = [
        trending("global", ["a", "b"]),
        trending("region:DE", ["c"]),
        trending("category:k1", ["d"]),
        trending("category:k2", ["e", "f"]),
    ]
    made = tables([item("p", category="k1"), item("q", category="k2"), *lists])
    query = ask(made, state(positives=taken(["p", "q"])), context=Context(region="DE"))
    assert names(made, Trending(most=1).retrieve(query)) == ["a"]
    assert names(made, TrendingInRegion().retrieve(query)) == ["c"]
    assert names(made, TrendingInCategories(most=2).retrieve(query)) == ["e", "d"]
    nobody = ask(made)
    assert [len(one.retrieve(nobody)) for one in (Trending(), TrendingInRegion(), TrendingInCategories())] == [2, 0, 0]


def test_popular_is_never_empty_while_there_is_a_catalogue() -> None:
    made = tables([item(f"v{i}") for i in range(50)])
    one, other = (Popular(most=20).retrieve(ask(made, request_id=name)) for name in ("r1", "r2"))
    assert len(one) == len(other) == 20
    assert one.tolist() != other.tolist()
    feed(made, [counters("v7", decayed=1.0), counters("v9", decayed=3.0), counters("gone", decayed=9.0)])
    assert names(made, Popular(most=20).retrieve(ask(made)))[:2] == ["v9", "v7"]


def test_popular_on_a_surface_is_by_that_surface() -> None:
    made = tables([item("a"), item("b"), counters("a", surfaces={"1": 5.0, "0": 1.0}), counters("b", surfaces={"1": 2.0, "0": 3.0})])
    source = PopularOnSurface()
    assert names(made, source.retrieve(ask(made, context=Context(surface="1")))) == ["a", "b"]
    assert names(made, source.retrieve(ask(made, context=Context(surface="0")))) == ["b", "a"]
    assert len(source.retrieve(ask(made, context=Context(surface="7")))) == 0
    assert len(source.retrieve(ask(made))) == 0


def test_followed_creators_come_newest_first() -> None:
    made = tables(
        [item("a", creator_id="x", uploaded_ms=NOW_MS - 2), item("b", creator_id="x", uploaded_ms=NOW_MS - 1), item("c", creator_id="y")]
    )
    assert names(made, FollowedCreators().retrieve(ask(made, state(followed_creators=["x", "nobody"])))) == ["b", "a"]
    assert len(FollowedCreators().retrieve(ask(made))) == 0


def test_what_is_not_available_now_takes_no_place_among_followed_creators_and_in_the_exploration_pool() -> None:
    planned = [item(f"f{n}", creator_id="c", uploaded_ms=NOW_MS + 1 + n) for n in range(5)]
    over = [item(f"o{n}", creator_id="c", uploaded_ms=NOW_MS - 1 - n, expires_ms=NOW_MS) for n in range(5)]
    made = tables([item("old", creator_id="c", uploaded_ms=NOW_MS - DAY_MS), item("dateless", creator_id="c"), *planned, *over])
    query = ask(made, state(followed_creators=["c"]))
    assert names(made, FollowedCreators(most=2).retrieve(query)) == ["old", "dateless"]
    assert set(names(made, ExplorationPool(most=2).retrieve(query))) == {"old", "dateless"}


def test_fresh_uploads_are_neither_old_nor_from_the_future() -> None:
    uploads = {"old": NOW_MS - 4 * DAY_MS, "new": NOW_MS - 1_000, "newer": NOW_MS, "future": NOW_MS + 1}
    made = tables([item(name, uploaded_ms=at_ms) for name, at_ms in uploads.items()] + [item("undated")])
    assert names(made, FreshUploads().retrieve(ask(made))) == ["newer", "new"]


def test_the_exploration_pool_is_a_uniform_sample_of_the_little_known() -> None:
    made = tables([item(f"v{i}") for i in range(40)] + [counters(f"v{i}", total=5_000) for i in range(20)])
    source = ExplorationPool(most=5)
    drawn = [names(made, source.retrieve(ask(made, request_id=f"r{i}"))) for i in range(400)]
    assert {len(set(one)) for one in drawn} == {5}
    counts = np.array([sum(f"v{i}" in one for one in drawn) for i in range(40)])
    assert counts[:20].sum() == 0
    assert counts[20:].min() > 60
    assert counts[20:].max() < 145


def test_a_small_catalogue_is_taken_whole_and_a_large_one_is_not() -> None:
    made = tables([item(f"v{i}") for i in range(10)] + [("catalog.items", "v3", None)])
    assert len(WholeCatalogue(most=9).retrieve(ask(made))) == 9
    assert len(WholeCatalogue(most=8).retrieve(ask(made))) == 0


def test_every_source_is_silent_in_an_empty_world() -> None:
    made = tables([])
    sources = (
        WatchedTogether(),
        NearTaste(),
        Trending(),
        Popular(),
        ExplorationPool(),
        FreshUploads(),
        FollowedCreators(),
        WholeCatalogue(),
    )
    assert [len(source.retrieve(ask(made, rich_person()))) for source in sources] == [0] * len(sources)


def crowd(n: int) -> list[Record]:
    """Popular videos abroad, and 15 at home that nobody knows."""
    abroad = [one for i in range(n) for one in (item(f"x{i}", region="US", language="en"), counters(f"x{i}", total=i))]
    return [*abroad, *(item(f"home{i}", region="DE", language="de") for i in range(15)), *(item(f"fr{i}", region="DE") for i in range(3))]


def test_the_last_resort_of_a_large_catalogue_offers_a_bounded_part_with_all_that_suits_the_person() -> None:
    records = crowd(800)
    one, other = tables(records), tables(list(reversed(records)))
    resort, context = WholeCatalogue(most=50, offered=200), Context(region="DE", language="de")
    offered = names(one, resort.everything(ask(one, context=context)))
    assert set(offered) >= {*(f"home{i}" for i in range(15)), *(f"fr{i}" for i in range(3)), *(f"x{i}" for i in range(760, 800))}
    assert len(offered) == len(set(offered)) <= 200
    assert names(other, resort.everything(ask(other, context=context))) == offered
    again = names(one, resort.everything(ask(one, context=context, request_id="r2")))
    assert set(again) != set(offered)
    assert len(names(one, WholeCatalogue(offered=818).everything(ask(one)))) == 818


def test_what_the_last_resort_offers_does_not_depend_on_places_whose_videos_are_gone() -> None:
    records = [*crowd(800), *(item(f"{language}{i}", region="DE", language=language) for language in ("it", "nl", "pl") for i in range(30))]
    one, other = tables(records), tables([item("gone", region="DE", language="ja"), *records, ("catalog.items", "gone", None)])
    resort, context = WholeCatalogue(most=50, offered=200), Context(region="DE")
    offered = names(one, resort.everything(ask(one, context=context)))
    assert names(other, resort.everything(ask(other, context=context))) == offered


def test_of_more_equals_than_can_be_looked_at_a_seeded_stretch_is_taken_wherever_rows_lie() -> None:
    records = [item(f"v{i}") for i in range(300)]
    one, other = tables(records), tables(list(reversed(records)))
    for source in (Popular(most=10, pool=40), ExplorationPool(most=10, pool=40)):
        found = [names(one, source.retrieve(ask(one, request_id=f"r{i}"))) for i in range(200)]
        assert {len(set(some)) for some in found} == {10}
        assert len({video_id for some in found for video_id in some}) > 290
        assert found == [names(other, source.retrieve(ask(other, request_id=f"r{i}"))) for i in range(200)]


def test_popular_videos_of_old_are_drawn_among_equals_of_the_last_level_only() -> None:
    levels = {f"v{i}": 40 if i < 4 else 20 if i < 10 else 1 for i in range(30)}
    made = tables([one for name, total in levels.items() for one in (item(name), counters(name, total=total))])
    found = [names(made, Popular(most=7).retrieve(ask(made, request_id=f"r{i}"))) for i in range(100)]
    assert {frozenset(some[:4]) for some in found} == {frozenset(f"v{i}" for i in range(4))}
    assert {video_id for some in found for video_id in some[4:]} == {f"v{i}" for i in range(4, 10)}
