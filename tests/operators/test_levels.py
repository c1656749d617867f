"""What is left of an answer when something fails, and the level that says so."""

from __future__ import annotations

from operators.chain import feed_pipeline
from operators.feed import Answer, FeedEngine
from schemas.feed import FeedRequest, Level
from tests.operators.feed_world import (
    NOW_MS,
    REQUEST,
    SECRET,
    FailingFilter,
    FailingPage,
    answer,
    page,
    read,
    rich_person,
    rich_world,
    shown,
    tables,
)


def test_without_the_store_the_answer_is_regional_or_global_and_says_so() -> None:
    made = tables(rich_world(100))
    away = read(available=False, pages=[page(["v20"])])
    regional = answer(made, away)
    assert regional.response.degradation_level is Level.REGIONAL_TRENDING
    assert "v20" not in shown(regional)
    elsewhere = answer(made, away, request=FeedRequest(user_id="u"))
    assert elsewhere.response.degradation_level is Level.GLOBAL_POPULAR
    assert len(shown(elsewhere)) == 20


def test_a_ranker_that_fails_steps_down_one_level() -> None:
    got = answer(tables(rich_world(100)), read(rich_person()), skip=("rank",))
    assert got.response.degradation_level is Level.CF_CACHE
    assert len(shown(got)) == 20


def test_a_stage_that_fails_is_named_and_the_answer_goes_out() -> None:
    made = tables(rich_world(100))
    whole = answer(made, read(rich_person(), seen=["v1"]))

    def broken(stage: str) -> Answer:
        chain = feed_pipeline()
        if stage == "rerank":
            chain.selector = FailingPage()
        chain.filters = tuple(FailingFilter(stage) if one.name == stage else one for one in chain.filters)
        broken = FeedEngine(tables=made, secret=SECRET, seed=0, worker="test", pipeline=chain)
        known = read(rich_person(), seen=["v1"])
        return broken.answer(request=REQUEST, raw=b"", request_id="r1", read=known, now_ms=NOW_MS, sequence=1)

    page = broken("rerank")
    assert (page.response.degradation_level, page.served.skipped) == (Level.ONLINE_MODEL, ["rerank"])
    assert shown(page) == whole.served.ranked
    for reason in ("seen", "session", "last_page", "language", "region"):
        got = broken(reason)
        assert (got.served.skipped, len(shown(got)), got.response.degradation_level) == ([reason], 20, Level.FULL)
    for reason in ("blocked", "hidden", "not_in_catalogue", "not_available", "age"):
        got = broken(reason)
        assert (got.served.skipped, shown(got), got.response.degradation_level) == ([reason], [], Level.NOTHING_ALLOWED)
