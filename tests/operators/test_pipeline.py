from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, repeat

import numpy as np
import pytest
from numpy.typing import NDArray

from operators.chain import RELAXATIONS, SAFETY, feed_pipeline
from operators.outcome import Outcome, Slot
from operators.pipeline import Pipeline
from operators.query import Query, Rows
from operators.ranking.features import INITIAL, FeatureTable
from operators.ranking.linear import OnlineRanker
from operators.reranking.page import SpacedPage
from operators.retrieval import RepeatedPage
from operators.stages import Filter, LastResort, Selection, SideEffect, Source
from tests.operators.feed_world import ask, item, names, rich_person, rich_world, tables


class Fixed(Source):
    """A source that finds what it is told."""

    def __init__(self, name: str, *video_ids: str) -> None:
        self.name = name
        self.video_ids = video_ids

    def retrieve(self, query: Query) -> Rows:
        return query.rows_of(list(self.video_ids))

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        return [f"because of {self.name}"] * len(rows)


class Broken(Fixed):
    """A source that fails."""

    def retrieve(self, query: Query) -> Rows:
        message = "no such index"
        raise RuntimeError(message)


class Named(Filter):
    """A filter that drops what it is told."""

    def __init__(self, reason: str, *video_ids: str) -> None:
        self.name = reason
        self.video_ids = video_ids

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        return np.isin(rows, query.rows_of(list(self.video_ids)))


class BrokenFilter(Named):
    """A filter that fails."""

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        message = "no such column"
        raise RuntimeError(message)


class BrokenPage(SpacedPage):
    """A selector that fails."""

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        message = "no room"
        raise RuntimeError(message)


class Everything(Fixed, LastResort):
    """A source that finds nothing until it is the last resort."""

    def everything(self, query: Query) -> Rows:
        return query.rows_of(list(self.video_ids))

    def best(self, query: Query, rows: Rows) -> Rows:
        return rows

    def retrieve(self, query: Query) -> Rows:
        return np.empty(0, dtype=np.intp)


class BrokenRanker(OnlineRanker):
    """A ranker that fails."""

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float64]:
        message = "weights do not fit"
        raise ValueError(message)


class Watcher(SideEffect):
    """A side effect that keeps what it saw."""

    name = "watcher"

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def pipeline(*sources: Source, ranker: OnlineRanker | None = None, **options: object) -> Pipeline:
    """A pipeline of these sources, the last of which explores."""
    return Pipeline(
        sources=sources,
        repeated=RepeatedPage(),
        explorer=sources[-1].name,
        filters=options.pop("filters", ()),  # type: ignore[arg-type]
        hydrators=options.pop("hydrators", (FeatureTable(),)),  # type: ignore[arg-type]
        scorers=options.pop("scorers", (ranker or OnlineRanker(initial=INITIAL),)),  # type: ignore[arg-type]
        selector=options.pop("selector", SpacedPage()),  # type: ignore[arg-type]
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
    start, each = [0.0], [0.001] * 3  # a source: time left, begin, end
    times = chain(start, each, each, repeat(1.0))
    stages = pipeline(Fixed("one", "a"), Fixed("two", "b"), Fixed("three", "c"))
    cut = stages.run(query(), limit=5, clock=lambda: next(times))
    assert cut.skipped == ["three"]
    again = stages.run(query(), limit=5, skip=cut.skipped)
    assert again.rows.tolist() == cut.rows.tolist()
    assert again.skipped == cut.skipped


def test_a_rule_that_fails_is_named_and_the_others_hold() -> None:
    stages = pipeline(Fixed("all", *"abc"), filters=[BrokenFilter("mood"), Named("gone", "b")])
    outcome = stages.run(query(), limit=5)
    assert (outcome.skipped, outcome.errors) == (["mood"], {"mood": "RuntimeError: no such column"})
    assert [stages.reasons[code - 1] if code else "" for code in outcome.dropped] == ["", "gone", ""]


def test_where_a_rule_of_safety_fails_nothing_passes_and_no_rule_gives_way() -> None:
    stages = pipeline(
        Fixed("all", *"abc"), filters=[BrokenFilter("blocked"), Named("gone", "b")], safety=["blocked"], relaxations=[("gone",)]
    )
    outcome = stages.run(query(), limit=5)
    assert (outcome.slots, outcome.skipped, outcome.relaxed) == ([], ["blocked"], ())
    assert [stages.reasons[code - 1] for code in outcome.dropped] == ["blocked"] * 3


def test_a_selector_that_fails_leaves_the_head_of_the_ranked_list() -> None:
    outcome = pipeline(Fixed("all", *"abcde"), selector=BrokenPage()).run(query(), limit=3)
    assert (outcome.skipped, outcome.errors) == (["rerank"], {"rerank": "RuntimeError: no room"})
    assert [(slot.rank, slot.explored, slot.propensity) for slot in outcome.slots] == [(rank, False, 1.0) for rank in range(3)]


@pytest.mark.parametrize("selector", [SpacedPage(), BrokenPage()])
@pytest.mark.parametrize("ranker", [OnlineRanker(initial=INITIAL), BrokenRanker(initial=INITIAL)])
@pytest.mark.parametrize("rule", [Named("gone", "b", "c"), BrokenFilter("gone")])
@pytest.mark.parametrize("safety", [(), ("gone",)])
@pytest.mark.parametrize("source", [Fixed("one", "a", "d"), Broken("one")])
def test_what_was_skipped_gives_the_same_outcome_again(  # noqa: PLR0917
    selector: SpacedPage, ranker: OnlineRanker, rule: Named, safety: tuple[str, ...], source: Fixed
) -> None:
    last = Everything("last", *"abcde")
    filters = [rule, Named("seen", "d", "a")]
    live = pipeline(
        source, last, selector=selector, ranker=ranker, filters=filters, safety=safety, last_resort=last, relaxations=[("seen",)]
    )
    outcome = live.run(query(), limit=4)
    assert set(outcome.skipped) >= set(outcome.errors)
    sound = pipeline(
        Fixed("one", "a", "d"),
        last,
        filters=[Named("gone", "b", "c"), filters[1]],
        safety=safety,
        last_resort=last,
        relaxations=[("seen",)],
    )
    again = sound.run(query(), limit=4, skip=outcome.skipped)
    assert (again.skipped, again.slots, again.relaxed) == (outcome.skipped, outcome.slots, outcome.relaxed)
    assert (again.rows.tolist(), again.dropped.tolist()) == (outcome.rows.tolist(), outcome.dropped.tolist())


def test_rules_give_way_in_order_and_only_where_nothing_is_left() -> None:
    filters = [Named("first", "a", "b"), Named("second", "a", "c"), Named("never", "c")]
    order = [("first",), ("second",), ("first", "second")]
    for found, relaxed, kept in (("d", (), "d"), ("b", ("first",), "b"), ("ab", ("first",), "b"), ("a", ("first", "second"), "a")):
        asked = query()
        outcome = pipeline(Fixed("all", *found), filters=filters, safety=["never"], relaxations=order).run(asked, limit=5)
        assert (outcome.relaxed, names(asked.tables, outcome.rows[outcome.ranked])) == (relaxed, list(kept))
    nothing = pipeline(Fixed("all", "c"), filters=filters, safety=["never"], relaxations=order).run(query(), limit=5)
    assert (nothing.slots, nothing.relaxed) == ([], ())


def test_a_rule_that_is_named_nowhere_gives_way_last() -> None:
    outcome = pipeline(Fixed("all", "a"), filters=[Named("mine", "a"), Named("seen", "a")], relaxations=[("seen",)]).run(query(), limit=1)
    assert (len(outcome.slots), outcome.relaxed) == (1, ("mine", "seen", "near_duplicate"))


def test_the_last_resort_comes_before_any_rule_gives_way() -> None:
    last = Everything("last", *"abcde")
    asked = query()
    stages = pipeline(Fixed("one", "a"), last, filters=[Named("seen", *"ab")], last_resort=last, relaxations=[("seen",)])
    outcome = stages.run(asked, limit=5)
    assert (outcome.relaxed, sorted(names(asked.tables, outcome.rows[outcome.ranked]))) == ((), ["c", "d", "e"])
    assert [stages.source_names[main] for main in outcome.main] == ["one", "last", "last", "last"]


def test_a_last_resort_that_fails_is_named_and_rules_give_way() -> None:
    class Torn(Everything):
        def everything(self, query: Query) -> Rows:
            raise MemoryError

    last = Torn("last")
    outcome = pipeline(Fixed("one", "a"), last, filters=[Named("seen", "a")], last_resort=last, relaxations=[("seen",)]).run(
        query(), limit=5
    )
    assert (outcome.skipped, outcome.relaxed, len(outcome.slots)) == (["last_resort"], ("seen",), 1)


def test_side_effects_see_an_answer_when_it_goes_out_and_one_that_fails_costs_nothing() -> None:
    class Deaf(Watcher):
        name = "deaf"

        def on_outcome(self, query: Query, outcome: Outcome) -> None:
            raise OSError

    watcher, asked = Watcher(), query()
    stages = pipeline(Fixed("all", "a"), filters=[Named("seen", "a")], side_effects=[Deaf(), watcher])
    outcome = stages.run(asked, limit=1)
    assert watcher.outcomes == []
    stages.went_out(asked, outcome)
    assert watcher.outcomes == [outcome]
    assert (outcome.skipped, outcome.errors) == ([], {"deaf": "OSError: "})


def test_more_stages_than_the_lineage_can_name_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at most 15 sources and 16 filters, got 16 and 0"):
        pipeline(*(Fixed(f"s{i}") for i in range(16)))


def test_stages_are_timed_by_the_callers_clock() -> None:
    times = iter(range(100))
    outcome = pipeline(Fixed("all", "a"), retrieve_budget_s=1e9).run(query(), limit=1, clock=lambda: float(next(times)))
    assert set(outcome.seconds) == {"retrieve", "filter", "rank", "rerank"}
    assert all(spent > 0 for spent in outcome.seconds.values())


def test_each_stage_that_takes_part_is_timed_by_its_name() -> None:
    times = iter(range(1_000))
    stages = pipeline(Fixed("one", "a"), Broken("two"), filters=[Named("gone")], retrieve_budget_s=1e9)
    outcome = stages.run(query(), limit=1, clock=lambda: float(next(times)))
    assert outcome.stage_seconds == dict.fromkeys(("one", "two", "gone", "features", "rank", "rerank"), 1.0)


class Shy(Fixed):
    """A source that is there for nobody, and cannot be asked."""

    def enabled(self, query: Query) -> bool:
        return False

    def retrieve(self, query: Query) -> Rows:
        raise AssertionError


class ShyFilter(BrokenFilter):
    """A filter that is there for nobody, or cannot say for whom."""

    def __init__(self, reason: str, *, knows: bool = True) -> None:
        super().__init__(reason)
        self.knows = knows

    def enabled(self, query: Query) -> bool:
        if self.knows:
            return False
        raise LookupError


def test_a_stage_that_is_not_enabled_is_as_if_it_were_not_there() -> None:
    asked = query()
    stages = pipeline(Shy("shy"), Fixed("all", "a", "b"), filters=[ShyFilter("quiet"), Named("gone", "b")], safety=["quiet"])
    outcome = stages.run(asked, limit=5)
    assert (outcome.skipped, outcome.errors, names(asked.tables, outcome.rows[outcome.ranked])) == ([], {}, ["a"])
    late = pipeline(Shy("shy"), Fixed("all", "a"), retrieve_budget_s=-1.0).run(asked, limit=5, clock=lambda: 0.0)
    assert late.skipped == ["all"]


def test_a_rule_of_safety_that_cannot_say_whether_it_is_there_lets_nothing_pass() -> None:
    stages = pipeline(Fixed("all", "a"), filters=[ShyFilter("quiet", knows=False)], safety=["quiet"])
    outcome = stages.run(query(), limit=5)
    assert (outcome.slots, outcome.skipped, outcome.errors) == ([], ["quiet"], {"quiet": "LookupError: "})


def test_stages_that_return_what_cannot_be_are_named_like_those_that_raise() -> None:
    class Beyond(Fixed):
        def retrieve(self, query: Query) -> Rows:
            return np.array([0, 10**9])

    class Numbers(Named):
        def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
            return rows.astype(np.bool_)[:-1]

    class Elsewhere(SpacedPage):
        def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
            return Selection([Slot(len(ranked), explored=False, propensity=1.0)], [])

    stages = pipeline(Beyond("beyond"), Fixed("all", "a", "b"), filters=[Numbers("numbers")], selector=Elsewhere())
    outcome = stages.run(query(), limit=5)
    assert (outcome.skipped, list(outcome.errors)) == (["beyond", "numbers", "rerank"], ["beyond", "numbers", "rerank"])
    assert [slot.rank for slot in outcome.slots] == [0, 1]


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got \['same'\] twice, at stages"):
        pipeline(Fixed("same"), Fixed("all"), filters=[Named("same")])


def test_the_feeds_own_chain_names_its_stages() -> None:
    stages = feed_pipeline()
    assert len(set(stages.source_names)) == len(stages.source_names) <= 16
    assert len(set(stages.reasons)) == len(stages.reasons)
    assert set(SAFETY) == stages.safety <= set(stages.reasons)
    assert set(RELAXATIONS[-1]) == set(stages.rules)
    assert len(set(RELAXATIONS)) == len(RELAXATIONS) == 15


@pytest.mark.parametrize("limit", [1, 20, 100])
def test_a_page_is_as_long_as_asked_and_ranked_by_falling_score(limit: int) -> None:
    made = tables(rich_world(300))
    outcome = feed_pipeline().run(ask(made, rich_person()), limit=limit)
    scores = outcome.scores[outcome.ranked]
    assert len(outcome.slots) == limit
    assert (np.diff(scores) <= 0).all()
    assert outcome.values.shape[1] == len(outcome.ranked)
