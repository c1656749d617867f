from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.filters.blocked import HiddenByPerson, Moderated
from operators.filters.eligibility import NotEligible
from operators.filters.listed import NotInCatalogue
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedLastPage, ServedThisSession
from operators.pipeline import Filter
from operators.profiles.seen import hashes, probe
from operators.query import SESSION_MS, Query, query
from schemas.catalog import Moderation
from schemas.feed import FeedRequest, ReadState
from schemas.telemetry import Context
from tests.operators.feed_world import NOW_MS, ask, item, names, neighbours, page, record, seen_bitmap, state, tables


def removed(one: Filter, query: Query) -> list[str]:
    """What a filter takes out of all videos."""
    rows = np.arange(len(query.tables.videos))
    return names(query.tables, rows[one.removed(query, rows)])


def test_what_the_catalogue_does_not_hold_goes() -> None:
    made = tables([item("a"), item("b"), ("catalog.items", "b", None), neighbours("c", {})])
    assert removed(NotInCatalogue(), ask(made)) == ["b", "c"]


def test_blocked_videos_and_all_videos_of_blocked_creators_go() -> None:
    made = tables(
        [
            item("a", creator_id="x"),
            item("b", creator_id="y"),
            item("c"),
            record("control.moderation", "creator:x", Moderation(kind="creator", id="x", blocked=True, at_ms=1)),
            record("control.moderation", "video:c", Moderation(kind="video", id="c", blocked=True, at_ms=1)),
        ]
    )
    assert removed(Moderated(), ask(made)) == ["a", "c"]


def test_what_the_person_hides_goes() -> None:
    made = tables([item("a", creator_id="x"), item("b", creator_id="y"), item("c")])
    assert removed(HiddenByPerson(), ask(made, state(hidden_videos=["c", "nowhere"], hidden_creators=["x", "nobody"]))) == ["a", "c"]
    assert removed(HiddenByPerson(), ask(made)) == []


def test_regions_languages_and_ages_count_where_both_sides_are_known() -> None:
    made = tables(
        [item("de", region="DE"), item("fr", region="FR"), item("any"), item("english", language="en"), item("adult", age_rating=18)]
    )
    assert removed(NotEligible(), ask(made)) == ["adult"]
    assert removed(NotEligible(), ask(made, context=Context(region="DE", language="de"))) == ["fr", "english", "adult"]
    assert removed(NotEligible(), ask(made, context=Context(region="XX"))) == ["de", "fr", "adult"]
    assert removed(NotEligible(assumed_age=21), ask(made)) == []


def test_what_was_seen_goes_and_hardly_anything_else() -> None:
    ids = [f"v{i}" for i in range(2_000)]
    query = ask(tables([item(video_id) for video_id in ids]), seen=ids[:300])
    gone = removed(AlreadySeen(), query)
    assert gone[:300] == ids[:300]
    assert len(gone) <= 303
    assert removed(AlreadySeen(), ask(query.tables)) == []


@given(st.lists(st.sets(st.integers(0, 120), max_size=60), max_size=5), st.booleans())
def test_all_bitmaps_at_once_say_what_one_after_the_other_says(generations: list[set[int]], short: bool) -> None:
    ids = [f"v{i}" for i in range(120)]
    made = tables([item(video_id) for video_id in ids])
    bitmaps = [seen_bitmap(f"v{i}" for i in one) for one in generations]
    if short and bitmaps:
        bitmaps[0] = bitmaps[0].rstrip(b"\0")
    known = ReadState(seen={str(i): bitmap for i, bitmap in enumerate(bitmaps)})
    asked = query(tables=made, request=FeedRequest(user_id="u"), request_id="r", now_ms=NOW_MS, read=known, seed=0)
    rows = np.arange(120)
    assert AlreadySeen().removed(asked, rows).tolist() == probe(bitmaps, hashes(ids)).tolist()


def test_pages_count_for_a_session_and_a_repeated_request_does_not_filter_itself() -> None:
    made = tables([item(x) for x in "abcd"])
    pages = [
        page(["a"], request_id="long ago", at_ms=NOW_MS - SESSION_MS),
        page(["b", "nowhere"], request_id="before"),
        page(["c"], request_id="last"),
        page(["d"], request_id="r1"),
    ]
    query = ask(made, request_id="r1", pages=pages)
    assert removed(ServedThisSession(), query) == ["b", "c"]
    assert removed(ServedLastPage(), query) == ["c"]
    assert removed(ServedLastPage(), ask(made)) == []


def test_pages_and_states_that_cannot_be_read_count_as_not_there() -> None:
    made = tables([item("a")])
    query = ask(made, pages=[b"nonsense", page(["a"])])
    assert removed(ServedThisSession(), query) == ["a"]
