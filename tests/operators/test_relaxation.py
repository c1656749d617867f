"""The feed is never empty while something may be shown, and says what gave way for that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.feed import Answer
from operators.tables.side import SideTables
from schemas.catalog import Moderation
from schemas.codec import encode, pack
from schemas.features import Profile, UserState
from schemas.feed import FeedRequest, Level, ReadState
from schemas.telemetry import Context
from tests.operators.feed_world import NOW_MS, Record, counters, engine, item, page, read, record, state, tables, vector

GERMAN = Context(region="DE", language="de")
ALL_OF_HISTORY = ("seen", "near_duplicate", "session", "last_page")


def answer(made: SideTables, known: ReadState | None = None, *, request_id: str = "r1", **fields: object) -> Answer:
    """An answer."""
    request = FeedRequest(user_id="u", **fields)  # type: ignore[arg-type]
    return engine(made).answer(request=request, raw=encode(request), request_id=request_id, read=known or read(), now_ms=NOW_MS, sequence=1)


def pages_of(made: SideTables, n: int, *, known: Sequence[str] = (), **fields: object) -> list[Answer]:
    """Pages asked for one after the other."""
    answers: list[Answer] = []
    for i in range(n):
        kept = [pack(one.page) for one in answers if one.page is not None]
        answers.append(answer(made, read(seen=known, pages=kept), request_id=f"r{i}", **fields))
    return answers


def shown(got: Answer) -> list[str]:
    """The videos of an answer."""
    return [one.video_id for one in got.response.items]


def alike(n: int, **fields: object) -> list[Record]:
    """Videos with vectors, no two alike."""
    return [
        one
        for i in range(n)
        for one in (item(f"v{i}", creator_id=f"c{i}", **fields), vector(f"v{i}", i, simhash=(i + 1) * 0x9E37_79B9_7F4A_7))
    ]


@pytest.mark.parametrize(("n", "limit"), [(15, 20), (15, 15), (15, 14), (15, 5), (1, 1), (1, 20), (40, 20)])
def test_a_small_catalogue_goes_on_with_old_videos_page_after_page(n: int, limit: int) -> None:
    got = pages_of(tables(alike(n)), 5, limit=limit)
    assert got[0].response.degradation_level is Level.FULL
    for one in got:
        assert len(shown(one)) == len(set(shown(one))) > 0
        relaxed = one.response.relaxed
        assert (one.response.degradation_level is Level.GLOBAL_POPULAR) == one.response.exhausted == bool(relaxed)
        assert relaxed in {(), ALL_OF_HISTORY[:2], ALL_OF_HISTORY[:3], ALL_OF_HISTORY}
        assert one.served.relaxed == list(relaxed)
    assert got[-1].response.exhausted
    assert len(shown(got[-1])) == min(n, limit) or n > limit


def test_old_videos_that_are_not_on_the_newest_page_come_before_those_that_are() -> None:
    got = pages_of(tables(alike(30)), 3, limit=20)
    assert [len(shown(one)) for one in got] == [20, 10, 20]
    assert got[2].response.relaxed == ("seen", "near_duplicate", "session")
    assert not set(shown(got[1])) & set(shown(got[2]))


def test_what_was_seen_long_ago_comes_before_what_stands_on_the_pages_of_this_session() -> None:
    ids = [f"v{i}" for i in range(30)]
    got = answer(tables(alike(30)), read(seen=ids, pages=[page(ids[:10])]))
    assert got.response.relaxed == ("seen", "near_duplicate")
    assert sorted(shown(got)) == sorted(ids[10:])


def test_a_language_that_nothing_is_in_gives_way_and_what_was_shown_still_counts() -> None:
    made = tables(alike(60, region="DE", language="de"))
    got = pages_of(made, 3, context=Context(region="DE", language="fr"))
    assert {one.response.relaxed for one in got} == {("language",)}
    assert not any(one.response.exhausted for one in got)
    assert {one.response.degradation_level for one in got} == {Level.GLOBAL_POPULAR}
    assert len({video_id for one in got for video_id in shown(one)}) == 60


def test_the_language_gives_way_before_the_region_and_only_what_must() -> None:
    made = tables([item("a", region="DE", language="fr"), item("b", region="FR", language="de"), item("c", region="FR", language="fr")])
    assert (shown(got := answer(made, context=GERMAN)), got.response.relaxed) == (["a"], ("language",))
    made = tables([item("b", region="FR", language="de"), item("c", region="FR", language="fr")])
    assert (shown(got := answer(made, context=GERMAN)), got.response.relaxed) == (["b"], ("region",))
    made = tables([item("c", region="FR", language="fr")])
    assert (shown(got := answer(made, context=GERMAN)), got.response.relaxed) == (["c"], ("language", "region"))
    seen = answer(made, read(seen=["c"]), context=GERMAN)
    assert (shown(seen), seen.response.relaxed, seen.response.exhausted) == (["c"], ("seen", "near_duplicate", "language", "region"), True)


def test_the_persons_own_region_comes_again_before_another_one_comes() -> None:
    made = tables([item("mine", region="DE"), item("other", region="FR")])
    got = answer(made, read(seen=["mine"], pages=[page(["mine"])]), context=GERMAN)
    assert (shown(got), got.response.relaxed) == (["mine"], ALL_OF_HISTORY)


def test_a_region_of_fifteen_is_found_in_a_catalogue_of_thousands() -> None:
    crowd = [one for i in range(3_000) for one in (item(f"x{i}", region="US"), counters(f"x{i}", total=2_000, decayed=9.0 + i))]
    few = [*alike(15, region="DE"), *(counters(f"v{i}", total=2_000, decayed=0.1) for i in range(15))]
    for one in pages_of(tables([*crowd, *few]), 3, context=GERMAN):
        assert sorted(shown(one)) == sorted(f"v{i}" for i in range(15))
        assert {item.source for item in one.response.items} == {"catalogue"}
        assert "region" not in one.response.relaxed
        assert len(one.outcome.rows) < 1_300


def test_what_nobody_looked_at_yet_is_found_for_somebody_who_saw_all_that_is_popular() -> None:
    ids = [f"x{i}" for i in range(1_500)]
    made = tables([one for i, name in enumerate(ids) for one in (item(name), counters(name, total=2_000, decayed=1.0 + i))])
    got = answer(made, read(seen=ids[:-1200:-1]))
    assert (got.response.relaxed, got.response.degradation_level) == ((), Level.FULL)
    assert set(shown(got)) <= set(ids[:310])


NEVER = {
    "blocked": [item("a"), record("control.moderation", "video:a", Moderation(kind="video", id="a", blocked=True, at_ms=1))],
    "hidden": [item("a", creator_id="no")],
    "later": [item("a", uploaded_ms=NOW_MS + 60_000)],
    "expired": [item("a", expires_ms=NOW_MS - 1)],
    "age": [item("a", age_rating=18)],
}


@pytest.mark.parametrize("why", NEVER)
def test_what_may_not_be_shown_never_is_and_the_catalogue_is_not_called_empty(why: str) -> None:
    person = state(hidden_creators=["no"], profile=Profile(birth_year=2006))
    for available in (True, False):
        if why == "hidden" and not available:
            continue
        got = answer(tables(NEVER[why]), read(person, available=available), context=GERMAN)
        assert (shown(got), got.response.degradation_level, got.page) == ([], Level.NOTHING_ALLOWED, None)
        assert (got.response.relaxed, got.response.exhausted) == ((), False)
    with_another = answer(tables([*NEVER[why], item("b", region="US")]), read(person, seen=["b"]), context=GERMAN)
    assert shown(with_another) == ["b"]


def test_only_a_catalogue_without_videos_is_called_empty() -> None:
    deleted = tables([item("a"), ("catalog.items", "a", None)])
    assert [answer(made).response.degradation_level for made in (tables([]), deleted)] == [Level.EMPTY_CATALOGUE] * 2


_place = st.sampled_from([None, "DE", "US"])
_videos = st.lists(
    st.fixed_dictionaries(
        {
            "region": _place,
            "language": st.sampled_from([None, "de", "en"]),
            "age_rating": st.sampled_from([0, 0, 12, 18, 21]),
            "uploaded_ms": st.sampled_from([None, NOW_MS - 9, NOW_MS + 9]),
            "expires_ms": st.sampled_from([None, None, NOW_MS - 9, NOW_MS + 9]),
            "creator_id": st.sampled_from([None, "c1", "c2", "hated", "banned"]),
        }
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    videos=_videos,
    simhashes=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    seen=st.sets(st.integers(0, 11)),
    served=st.lists(st.sets(st.integers(0, 11), max_size=12), max_size=4),
    blocked=st.sets(st.integers(0, 11), max_size=4),
    hidden=st.sets(st.integers(0, 11), max_size=4),
    birth_year=st.sampled_from([None, 1980, 2010]),
    context=st.builds(Context, region=_place, language=st.sampled_from([None, "de", "fr", "en-US"])),
    limit=st.integers(1, 20),
    available=st.booleans(),
)
def test_whoever_asks_is_shown_something_if_there_is_anything_to_show(  # noqa: PLR0917
    videos: list[dict[str, object]],
    simhashes: list[int],
    seen: set[int],
    served: list[set[int]],
    blocked: set[int],
    hidden: set[int],
    birth_year: int | None,
    context: Context,
    limit: int,
    available: bool,
) -> None:
    records = [item(f"v{i}", **one) for i, one in enumerate(videos)]
    records += [vector(f"v{i}", simhash=simhash) for i, simhash in enumerate(simhashes[: len(videos)])]
    bans = [Moderation(kind="video", id=f"v{i}", blocked=True, at_ms=1) for i in blocked]
    bans.append(Moderation(kind="creator", id="banned", blocked=True, at_ms=1))
    made = tables([*records, *(record("control.moderation", f"{one.kind}:{one.id}", one) for one in bans)])
    person = _person(hidden, birth_year) if available else None
    pages = [
        page([f"v{i}" for i in sorted(one)], request_id=f"p{n}", simhashes=[simhashes[i] for i in sorted(one)])
        for n, one in enumerate(served)
    ]
    got = answer(made, read(person, seen=[f"v{i}" for i in seen], pages=pages, available=available), limit=limit, context=context)
    age = 17 if person is None or birth_year is None else 2023 - birth_year - 1
    allowed = {f"v{i}" for i, one in enumerate(videos) if i not in blocked and _may_be_shown(one, age)}
    if person is not None:
        allowed -= {f"v{i}" for i in hidden} | {f"v{i}" for i, one in enumerate(videos) if one["creator_id"] == "hated"}
    assert set(shown(got)) <= allowed
    assert bool(shown(got)) == bool(allowed)
    assert len(shown(got)) == len(set(shown(got))) <= limit
    level = got.response.degradation_level
    assert (level is Level.EMPTY_CATALOGUE) == (not videos)
    assert (level is Level.NOTHING_ALLOWED) == (bool(videos) and not allowed)
    assert got.response.exhausted <= bool(got.response.relaxed) <= bool(allowed)


def _person(hidden: set[int], birth_year: int | None) -> UserState:
    return state(hidden_videos=[f"v{i}" for i in hidden], hidden_creators=["hated"], profile=Profile(birth_year=birth_year))


def _may_be_shown(video: dict[str, object], age: int) -> bool:
    return (
        video["creator_id"] != "banned"
        and int(str(video["age_rating"])) <= age
        and video["uploaded_ms"] != NOW_MS + 9
        and video["expires_ms"] != NOW_MS - 9
    )
