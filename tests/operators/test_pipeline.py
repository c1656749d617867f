from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import pytest
from numpy.typing import NDArray

from operators.chain import feed_pipeline
from operators.pipeline import Found, Outcome, Pipeline
from operators.query import Query, Rows
from operators.ranking.features import INITIAL, FeatureTable
from operators.ranking.linear import OnlineRanker
from operators.reranking.page import SpacedPage
from tests.operators.feed_world import ask, item, names, rich_person, rich_world, tables


class Fixed:
    """A source that finds what it is told."""

    def __init__(self, name: str, *video_ids: str) -> None:
        self.name = name
        self.video_ids = video_ids

    def retrieve(self, query: Query) -> Found:
        rows = query.rows_of(list(self.video_ids))
        return Found(rows, np.zeros(len(rows)))


class Broken(Fixed):
    """A source that fails."""

    def retrieve(self, query: Query) -> Found:
        message = "no such index"
        raise RuntimeError(message)


class Named:
    """A filter that drops what it is told."""

    def __init__(self, reason: str, *video_ids: str) -> None:
        self.reason = reason
        self.video_ids = video_ids

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        return np.isin(rows, query.rows_of(list(self.video_ids)))


class BrokenRanker(OnlineRanker):
    """A ranker that fails."""

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float64]:
        message = "weights do not fit"
        raise ValueError(message)


class Watcher:
    """A side effect that keeps what it saw."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def pipeline(*sources: Fixed, ranker: OnlineRanker | None = None, **options: object) -> Pipeline:
    """A pipeline of these sources, the last of which explores."""
    return Pipeline(
        sources=sources,
        explorer=sources[-1].name,
        filters=options.pop("filters", ()),  # type: ignore[arg-type]
        hydrator=FeatureTable(),
        scorer=ranker or OnlineRanker(initial=INITIAL),
        selector=SpacedPage(),
        **options,  # type: ignore[arg-type]
    )


def query() -> Query:
    """Somebody who asks a catalogue of five."""
    return ask(tables([item(x) for x in "abcde"]))


def test_a_candidate_remembers_all_its_sources_and_the_first_one_is_its_main_one() -> None:
    asked = query()
    outcome = pipeline(Fixed("one", "a", "b"), Fixed("two", "c", "b"), Fixed("three", "b")).run(asked, limit=5)
    assert names(asked.tables, outcome.rows) == ["a", "b", "c"]
    assert outcome.sources.tolist() == [0b001, 0b111, 0b010]
    assert outcome.main.tolist() == [0, 0, 1]


def test_every_drop_has_one_reason_and_the_kept_set_does_not_depend_on_the_order_of_filters() -> None:
    filters = [Named("first", "a", "b"), Named("second", "b", "c")]
    asked = query()
    forward = pipeline(Fixed("all", *"abcde"), filters=filters).run(asked, limit=5)
    backward = pipeline(Fixed("all", *"abcde"), filters=filters[::-1]).run(asked, limit=5)
    assert forward.dropped.tolist() == [1, 1, 2, 0, 0]
    assert backward.dropped.tolist() == [2, 1, 1, 0, 0]
    assert set(forward.ranked.tolist()) == set(backward.ranked.tolist()) == {3, 4}


def test_more_than_can_be_ranked_is_dropped_by_name() -> None:
    stages = pipeline(Fixed("all", *"abcde"), filters=[Named("gone", "b")], max_ranked=2)
    outcome = stages.run(query(), limit=5)
    assert [stages.reasons[code - 1] if code else "" for code in outcome.dropped] == [
        "",
        "gone",
        "",
        "over_ranking_budget",
        "over_ranking_budget",
    ]
    assert np.isnan(outcome.scores).tolist() == [False, True, False, True, True]


def test_a_source_that_fails_is_named_and_the_others_answer() -> None:
    outcome = pipeline(Broken("index"), Fixed("other", "a")).run(query(), limit=5)
    assert (outcome.skipped, outcome.errors) == (["index"], {"index": "RuntimeError: no such index"})
    assert len(outcome.slots) == 1


def test_a_ranker_that_fails_leaves_the_order_of_retrieval() -> None:
    outcome = pipeline(Fixed("all", *"dbeca"), ranker=BrokenRanker(initial=INITIAL)).run(query(), limit=5)
    assert outcome.skipped == ["rank"]
    assert [slot.rank for slot in outcome.slots] == [0, 1, 2, 3, 4]
    assert np.isnan(outcome.scores).all()


def test_a_source_past_the_budget_is_skipped_and_a_replay_skips_the_same() -> None:
    times = chain([0.0, 0.0, 0.001], repeat(1.0))
    stages = pipeline(Fixed("one", "a"), Fixed("two", "b"), Fixed("three", "c"))
    cut = stages.run(query(), limit=5, clock=lambda: next(times))
    assert cut.skipped == ["three"]
    again = stages.run(query(), limit=5, skip=cut.skipped)
    assert again.rows.tolist() == cut.rows.tolist()
    assert again.skipped == cut.skipped


def test_relaxed_reasons_are_not_enforced() -> None:
    made = tables([item("a")])
    asked = ask(made)
    relaxed = Query(**{name: getattr(asked, name) for name in asked.__dataclass_fields__} | {"relaxed": frozenset({"gone"})})
    stages = pipeline(Fixed("all", "a"), filters=[Named("gone", "a")])
    assert [len(stages.run(one, limit=1).slots) for one in (asked, relaxed)] == [0, 1]


def test_side_effects_see_every_outcome() -> None:
    watcher = Watcher()
    outcome = pipeline(Fixed("all", "a"), side_effects=[watcher]).run(query(), limit=1)
    assert watcher.outcomes == [outcome]


def test_stages_are_timed_by_the_callers_clock() -> None:
    times = iter(range(100))
    outcome = pipeline(Fixed("all", "a"), retrieve_budget_s=1e9).run(query(), limit=1, clock=lambda: float(next(times)))
    assert set(outcome.seconds) == {"retrieve", "filter", "rank", "rerank"}
    assert all(spent > 0 for spent in outcome.seconds.values())


def test_the_feeds_own_chain_names_its_stages() -> None:
    stages = feed_pipeline()
    assert len(set(stages.source_names)) == len(stages.source_names) <= 16
    assert len(set(stages.reasons)) == len(stages.reasons)


@pytest.mark.parametrize("limit", [1, 20, 100])
def test_a_page_is_as_long_as_asked_and_ranked_by_falling_score(limit: int) -> None:
    made = tables(rich_world(300))
    outcome = feed_pipeline().run(ask(made, rich_person()), limit=limit)
    scores = outcome.scores[outcome.ranked]
    assert len(outcome.slots) == limit
    assert (np.diff(scores) <= 0).all()
    assert outcome.values.shape[1] == len(outcome.ranked)
