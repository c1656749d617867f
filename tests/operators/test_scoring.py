"""Scorers as a list, best first: who decides, what is told of it, and that a replay does the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from operators import chain, ranking
from operators.breaker import Breaker
from operators.chain import feed_pipeline
from operators.feed import Answer, FeedEngine
from operators.outcome import Outcome
from operators.pipeline import Pipeline
from operators.query import Query, Rows
from operators.ranking.features import INITIAL
from operators.stages import Hydrator, Scorer
from schemas.codec import encode
from schemas.feed import Level
from tests.operators.feed_world import NOW_MS, REQUEST, SECRET, ask, item, names, read, rich_person, rich_world, tables
from tests.operators.test_pipeline import Fixed, pipeline


class Lengths(Hydrator):
    """Looks up how long a title is."""

    name = "lengths"
    outputs = ("title_length",)

    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        return np.array([[len(query.tables.videos.ids[row]) for row in rows.tolist()]], dtype=np.float32)


class Torn(Lengths):
    """A hydrator that fails."""

    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        raise KeyError(rows)


class Deep(Scorer):
    """A scorer by one value, with a head; `broken` says how it fails."""

    name = "deep"
    inputs = ("title_length",)
    heads = ("long",)

    def __init__(self, *, level: Level = Level.FULL, broken: str = "") -> None:
        self.level = level
        self.broken = broken

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.floating]:
        if self.broken == "raises":
            raise RuntimeError
        scores: NDArray[np.floating] = values[0].astype(np.float64)
        if self.broken == "half":
            scores[0] = np.nan
        if self.broken == "nothing finite":
            scores[:] = np.nan
        if self.broken == "too few":
            scores = scores[1:]
        return scores

    def predict(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.broken == "predicts nothing":
            raise RuntimeError
        return (values / 100).astype(np.float32)


def stages(*scorers: Scorer, hydrators: Sequence[Hydrator] = (), **options: object) -> Pipeline:
    """A pipeline of one source and some scorers, the feed's own last."""
    online = ranking.OnlineRanker(initial=INITIAL, level=Level.ONLINE_MODEL)
    hydrators = hydrators or (Lengths(), ranking.FeatureTable())
    return pipeline(Fixed("all", "a", "ccc", "bb"), scorers=(*scorers, online), hydrators=hydrators, **options)  # type: ignore[arg-type]


def world() -> Query:
    """Somebody who asks a catalogue of three."""
    return ask(tables([item(name) for name in ("a", "bb", "ccc")]))


def test_the_first_scorer_decides_and_its_heads_and_level_are_told() -> None:
    asked = world()
    outcome = stages(Deep()).run(asked, limit=3)
    assert names(asked.tables, outcome.rows[outcome.ranked]) == ["ccc", "bb", "a"]
    assert (outcome.level, outcome.skipped, outcome.head_names) == (Level.FULL, [], ("long",))
    assert outcome.heads.tolist() == [pytest.approx([0.03, 0.02, 0.01])]
    assert outcome.values[0].tolist() == [3.0, 2.0, 1.0]


def test_a_scorer_that_cannot_predict_still_decides_and_a_replay_does_without_its_heads() -> None:
    outcome = stages(Deep(broken="predicts nothing")).run(world(), limit=3)
    assert (outcome.level, outcome.skipped, outcome.head_names, len(outcome.heads)) == (Level.FULL, [], (), 0)
    assert outcome.errors == {"heads of deep": "RuntimeError: "}


@pytest.mark.parametrize("broken", ["raises", "nothing finite", "too few"])
def test_a_scorer_that_fails_is_passed_over_for_the_next_one_in_the_same_answer(broken: str) -> None:
    outcome = stages(Deep(broken=broken)).run(world(), limit=3)
    assert (outcome.level, outcome.skipped, list(outcome.errors)) == (Level.ONLINE_MODEL, ["deep"], ["deep"])
    assert outcome.head_names == ranking.OnlineRanker.heads
    assert np.isfinite(outcome.scores).all()


def test_one_candidate_without_a_finite_score_sinks() -> None:
    asked = world()
    outcome = stages(Deep(broken="half")).run(asked, limit=3)
    assert (names(asked.tables, outcome.rows[outcome.ranked]), outcome.level) == (["ccc", "bb", "a"], Level.FULL)


def test_behind_the_last_scorer_the_order_of_retrieval_stands_and_nothing_is_told_of_heads() -> None:
    failing = [Deep(broken="raises"), type("Deeper", (Deep,), {"name": "deeper"})(broken="raises")]
    made = pipeline(Fixed("all", "a", "ccc", "bb"), scorers=failing, hydrators=(Lengths(),))
    asked = world()
    outcome = made.run(asked, limit=3)
    assert (outcome.level, outcome.skipped) == (Level.CF_CACHE, ["deep", "deeper"])
    assert names(asked.tables, outcome.rows[outcome.ranked]) == ["a", "ccc", "bb"]
    assert (outcome.scorer, outcome.head_names, outcome.heads.shape) == ("", (), (0, 3))
    assert not outcome.values.any()
    assert np.isnan(outcome.scores).all()


def test_a_hydrator_that_fails_costs_itself_and_the_scorers_that_read_it() -> None:
    made = stages(Deep(), hydrators=(Torn(), ranking.FeatureTable()))
    outcome = made.run(world(), limit=3)
    assert (outcome.skipped, outcome.level) == (["lengths"], Level.ONLINE_MODEL)
    again = stages(Deep()).run(world(), limit=3, skip=outcome.skipped)
    assert (again.skipped, again.ranked.tolist(), again.level) == (outcome.skipped, outcome.ranked.tolist(), outcome.level)


def test_what_hydrators_and_scorers_do_not_agree_on_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \['title_length'\] twice, at hydrators"):
        stages(hydrators=(Lengths(), type("Other", (Lengths,), {"name": "other"})(), ranking.FeatureTable()))
    with pytest.raises(ValueError, match=r"got \['title_length'\], at scorer deep"):
        stages(Deep(), hydrators=(ranking.FeatureTable(),))


def test_a_scorer_that_is_not_enabled_is_as_if_it_were_not_there() -> None:
    class ForOthers(Deep):
        def enabled(self, query: Query) -> bool:
            return query.request.user_id == "somebody else"

    outcome = stages(ForOthers()).run(world(), limit=3)
    assert (outcome.level, outcome.skipped, "deep" in outcome.stage_seconds) == (Level.ONLINE_MODEL, [], False)


class Clock:
    """A clock that stands still, but for what a scorer takes."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Slow(Deep):
    """A scorer that takes its time by a clock."""

    def __init__(self, *, clock: Clock, takes_s: float = 0.0, broken: str = "") -> None:
        super().__init__(broken=broken)
        self.clock = clock
        self.takes_s = takes_s
        self.asked = 0

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.floating]:
        self.asked += 1
        self.clock.now_s += self.takes_s
        return super().score(query, values)


def breaker() -> Breaker:
    """A breaker that opens at the second failure, for 10 s."""
    return Breaker(max_failures=2, budget=timedelta(milliseconds=50), rest=timedelta(seconds=10))


@pytest.mark.parametrize(("broken", "takes_s"), [("raises", 0.0), ("", 0.06)])
def test_a_scorer_that_fails_or_dawdles_rests_and_is_tried_again_by_one_answer(broken: str, takes_s: float) -> None:
    clock = Clock()
    slow = Slow(clock=clock, takes_s=takes_s, broken=broken)
    made = stages(slow, breaker=breaker)

    def answer_at(now_s: float) -> Outcome:
        clock.now_s = now_s
        return made.run(world(), limit=3, clock=clock)

    for now_s in (0.0, 1.0):
        assert (answer_at(now_s).level is Level.FULL) == (broken == "")
    resting = answer_at(2.0)
    assert (slow.asked, resting.skipped, resting.errors, resting.level) == (2, ["deep"], {}, Level.ONLINE_MODEL)
    answer_at(12.0)
    assert slow.asked == 3
    assert (answer_at(13.0).skipped, slow.asked) == (["deep"], 3)
    slow.takes_s, slow.broken = 0.0, ""
    for now_s in (23.0, 24.0, 25.0):
        assert answer_at(now_s).level is Level.FULL
    assert slow.asked == 6
    again = stages(Deep()).run(world(), limit=3, skip=resting.skipped)
    assert (again.skipped, again.level, again.scores.tolist()) == (resting.skipped, resting.level, resting.scores.tolist())


def test_without_a_clock_no_breaker_opens() -> None:
    slow = Slow(clock=Clock(), broken="raises")
    made = stages(slow, breaker=breaker)
    for _ in range(5):
        assert made.run(world(), limit=3).skipped == ["deep"]
    assert slow.asked == 5


def with_a_second_scorer(broken: str) -> Callable[[], Pipeline]:
    """The feed's chain with one more hydrator and scorer, as a line each in its lists would add them."""

    class More(Pipeline):
        def __init__(self, **stages: object) -> None:
            online = ranking.OnlineRanker(initial=INITIAL, level=Level.ONLINE_MODEL)
            more = {"hydrators": (ranking.FeatureTable(), Lengths()), "scorers": (Deep(broken=broken), online)}
            super().__init__(**(stages | more))  # type: ignore[arg-type]

    def made() -> Pipeline:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chain, "Pipeline", More)
            return feed_pipeline()

    return made


@pytest.mark.parametrize(("broken", "level"), [("", Level.FULL), ("raises", Level.ONLINE_MODEL)])
def test_a_scorer_is_added_in_the_chain_alone_and_a_replay_follows_what_was_skipped(broken: str, level: Level) -> None:
    made, clock = tables(rich_world(80)), count().__next__

    def answer(pipeline: Pipeline, skip: Sequence[str] = (), **timed: object) -> Answer:
        engine = FeedEngine(tables=made, secret=SECRET, seed=1, worker="w", pipeline=pipeline)
        known = read(rich_person())
        return engine.answer(
            request=REQUEST,
            raw=encode(REQUEST),
            request_id="r",
            read=known,
            now_ms=NOW_MS,
            sequence=1,
            skip=skip,
            **timed,  # type: ignore[arg-type]
        )

    pipeline = with_a_second_scorer(broken)()
    pipeline.retrieve_budget_s = float("inf")
    live = answer(pipeline, clock=lambda: float(clock()))
    assert (live.response.degradation_level, live.served.skipped) == (level, ["deep"] if broken else [])
    assert live.served.heads == (list(ranking.OnlineRanker.heads) if broken else ["long"])
    assert len(live.served.head_table()) == len(live.served.items) == 20
    assert live.served.features != bytes(len(live.served.features))
    replayed = answer(with_a_second_scorer("")(), live.served.skipped)
    assert encode(replayed.served) == encode(live.served)


def test_heads_in_the_lineage_are_those_of_the_items_that_are_shown() -> None:
    engine = FeedEngine(tables=tables(rich_world(80)), secret=SECRET, seed=1, worker="w")
    answer = engine.answer(request=REQUEST, raw=b"", request_id="r", read=read(rich_person()), now_ms=NOW_MS, sequence=1)
    outcome, ranker = answer.outcome, ranking.OnlineRanker(initial=INITIAL)
    places = [slot.rank for slot in outcome.slots]
    assert len(answer.served.head_table()) == len(answer.served.items) == 20
    for row, one in zip(answer.served.head_table(), ranker.predict(answer.asked, outcome.values[:, places]).T.tolist(), strict=True):
        assert row == dict(zip(ranker.heads, one, strict=True))
