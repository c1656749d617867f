from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.filters.blocked import HiddenByPerson, Moderated
from operators.filters.eligibility import AboveAge, OtherLanguage, OtherRegion
from operators.filters.listed import NotAvailable, NotInCatalogue
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedLastPage, ServedThisSession
from operators.profiles.seen import hashes, probe
from operators.query import SESSION_MS, Query, query
from operators.stages import Filter
from schemas.catalog import Moderation
from schemas.features import Profile
from schemas.feed import FeedRequest, ReadState
from schemas.keys import DAY_MS
from schemas.telemetry import Context
from tests.operators.feed_world import NOW_MS, ask, feed, item, names, neighbours, page, record, seen_bitmap, state, tables


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


def test_regions_and_languages_count_where_both_sides_are_known() -> None:
    made = tables([item("de", region="DE"), item("fr", region="FR"), item("any"), item("english", language="en")])
    assert removed(OtherRegion(), ask(made)) == removed(OtherLanguage(), ask(made)) == []
    german = ask(made, context=Context(region="DE", language="de"))
    assert (removed(OtherRegion(), german), removed(OtherLanguage(), german)) == (["fr"], ["english"])
    assert removed(OtherRegion(), ask(made, context=Context(region="XX"))) == ["de", "fr"]


@pytest.mark.parametrize("region", ["US", "us", "US-CA", " us "])
@pytest.mark.parametrize("language", ["en", "EN", "en-US", "en_GB"])
def test_regions_and_languages_are_compared_in_one_spelling(region: str, language: str) -> None:
    made = tables(
        [item("a", region="US", language="en"), item("b", region="us-ny", language="EN-gb"), item("c", region="DE", language="de")]
    )
    asked = ask(made, context=Context(region=region, language=language))
    assert removed(OtherRegion(), asked) == removed(OtherLanguage(), asked) == ["c"]


def test_an_empty_region_or_language_is_an_unknown_one() -> None:
    made = tables([item("a", region="US", language="en"), item("b", region="", language=" ")])
    for context in (Context(region="", language=""), Context(region=" ", language=" "), None):
        assert removed(OtherRegion(), ask(made, context=context)) == removed(OtherLanguage(), ask(made, context=context)) == []
    elsewhere = ask(made, context=Context(region="DE", language="de"))
    assert removed(OtherRegion(), elsewhere) == removed(OtherLanguage(), elsewhere) == ["a"]


def test_where_the_request_does_not_tell_the_persons_record_does() -> None:
    made = tables([item("de", region="DE", language="de"), item("us", region="US", language="en")])
    person = state(profile=Profile(region="DE", language="de"))
    for context in (None, Context(), Context(region="", language="")):
        asked = ask(made, person, context=context)
        assert removed(OtherRegion(), asked) == removed(OtherLanguage(), asked) == ["us"]
    abroad = ask(made, person, context=Context(region="US", language="en"))
    assert removed(OtherRegion(), abroad) == removed(OtherLanguage(), abroad) == ["de"]


def test_a_person_is_as_old_as_the_year_of_birth_surely_makes_them_and_else_of_the_assumed_age() -> None:
    # "now" is in November 2023: who was born in 2005 may not be 18 yet
    made = tables([item(f"from {age}", age_rating=age) for age in (0, 12, 16, 18, 21)])
    assert removed(AboveAge(), ask(made)) == ["from 18", "from 21"]
    assert removed(AboveAge(), ask(made, default_age=12)) == ["from 16", "from 18", "from 21"]
    for year, gone in (
        (2005, ["from 18", "from 21"]),
        (2004, ["from 21"]),
        (1960, []),
        (2012, ["from 12", "from 16", "from 18", "from 21"]),
    ):
        assert removed(AboveAge(), ask(made, state(profile=Profile(birth_year=year)), default_age=21)) == gone
    assert removed(AboveAge(), ask(made, state(profile=Profile(region="DE")))) == ["from 18", "from 21"]


def test_what_is_dated_after_now_or_has_expired_goes() -> None:
    made = tables(
        [
            item("now", uploaded_ms=NOW_MS, expires_ms=NOW_MS + 1),
            item("later", uploaded_ms=NOW_MS + 1),
            item("over", uploaded_ms=NOW_MS - 9, expires_ms=NOW_MS),
            item("undated"),
        ]
    )
    assert removed(NotAvailable(), ask(made)) == ["later", "over"]
    feed(made, [item("over", uploaded_ms=NOW_MS - 9)])
    assert removed(NotAvailable(), ask(made)) == ["later"]


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


@pytest.mark.parametrize(
    ("profile", "age"),
    [
        (Profile(age=18, age_at_ms=NOW_MS), 18),
        (Profile(age=17, age_at_ms=NOW_MS - 366 * DAY_MS), 18),
        (Profile(age=12, age_at_ms=NOW_MS, birth_year=1980), 12),
        (Profile(age=40, age_at_ms=NOW_MS, birth_year=2010), 2023 - 2010 - 1),
        (Profile(birth_year=2100), 17),
        (Profile(), 17),
    ],
)
def test_an_age_is_the_years_surely_lived_and_of_two_the_fewer(profile: Profile, age: int) -> None:
    made = tables([item("v")])
    assert ask(made, state(profile=profile)).age == age


def test_who_has_just_told_18_sees_what_is_rated_18_and_a_child_born_in_1980_does_not() -> None:
    made = tables([item("from 12", age_rating=12), item("from 18", age_rating=18)])
    adult, child = Profile(age=18, age_at_ms=NOW_MS), Profile(age=12, age_at_ms=NOW_MS, birth_year=1980)
    for profile, gone in ((adult, []), (child, ["from 18"]), (Profile(birth_year=2100), ["from 18"])):
        assert removed(AboveAge(), ask(made, state(profile=profile))) == gone
