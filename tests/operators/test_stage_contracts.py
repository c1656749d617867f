"""Every request stage, found by walking the packages, keeps the contract of its kind."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest

import operators.filters
import operators.ranking
import operators.reranking
import operators.retrieval
from operators.chain import feed_pipeline
from operators.query import Query
from schemas.telemetry import Context
from tests.operators.feed_world import ask, install_segment, item, page, rich_person, rich_world, tables

PACKAGES = (operators.filters, operators.ranking, operators.reranking, operators.retrieval)
METHODS = ("retrieve", "removed", "hydrate", "score", "select")


def stages() -> Iterator[type[object]]:
    """Every class of the packages that is a stage."""
    for package in PACKAGES:
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for _, one in inspect.getmembers(import_module(module.name), inspect.isclass):
                if one.__module__ == module.name and any(callable(getattr(one, method, None)) for method in METHODS):
                    yield one


def queries() -> list[Query]:
    """Somebody known and somebody new, in a rich world, an eventless one and an empty one."""
    rich = tables(rich_world(120))
    install_segment(rich, [f"v{i}" for i in range(80)], vectors_offset=80)
    worlds = (rich, tables([item(f"v{i}") for i in range(30)]), tables([]))
    context = Context(surface="1", region="DE", language="de")
    return [
        ask(world, person, context=context, seen=["v3"], pages=[page(["v4"], simhashes=[7])])
        for world in worlds
        for person in (rich_person(), None)
    ]


def test_every_stage_that_exists_is_used_by_the_feed() -> None:
    chain = feed_pipeline()
    used = {type(one) for one in (*chain.sources, *chain.filters, chain.hydrator, chain.scorer, chain.selector)}
    assert used == set(stages())


@pytest.mark.parametrize("stage", sorted(stages(), key=str))
def test_a_stage_says_what_it_is(stage: type[object]) -> None:
    assert stage.__doc__
    parameters = list(inspect.signature(stage).parameters.values())
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters)


def test_sources_are_deterministic_bounded_and_repeat_nothing() -> None:
    for source in feed_pipeline().sources:
        for query in queries():
            one, other = source.retrieve(query), source.retrieve(query)
            assert one.tolist() == other.tolist()
            assert len(one) <= getattr(source, "most")  # noqa: B009
            assert len(set(one.tolist())) == len(one), source.name
            assert one.dtype == np.intp


def test_filters_look_at_each_candidate_alone_and_leave_the_input_as_it_was() -> None:
    rng = np.random.default_rng(1)
    for one in feed_pipeline().filters:
        for query in queries():
            rows = np.arange(len(query.tables.videos))
            gone = one.removed(query, rows)
            assert gone.dtype == np.bool_
            assert rows.tolist() == list(range(len(rows)))
            some = rng.permutation(len(rows))[: len(rows) // 2]
            assert one.removed(query, rows[some]).tolist() == gone[some].tolist(), one.reason
            assert one.removed(query, rows[:0]).tolist() == []


def test_the_hydrator_returns_as_many_values_as_it_got_in_the_same_order() -> None:
    hydrator = feed_pipeline().hydrator
    for query in queries():
        rows = np.arange(len(query.tables.videos))
        values = hydrator.hydrate(query, rows)
        assert values.shape == (len(hydrator.names), len(rows))
        assert hydrator.hydrate(query, rows[::-1])[:, ::-1].tobytes() == values.tobytes()


def test_the_selector_shows_nothing_twice_and_no_more_than_asked() -> None:
    selector = feed_pipeline().selector
    for query in queries():
        ranked = np.arange(len(query.tables.videos))
        for limit in (1, 20, 100):
            explorable = ranked % 3 == 0
            selection = selector.select(query, ranked, explorable, limit)
            ranks = [slot.rank for slot in selection.slots]
            assert len(ranks) == len(set(ranks)) <= limit
            assert len(ranks) == min(limit, len(ranked)) or selection.removed
            assert not set(ranks) & {rank for rank, _ in selection.removed}
            assert {reason for _, reason in selection.removed} <= set(selector.reasons)
            assert all(0 < slot.propensity <= 1 for slot in selection.slots)
            assert selector.select(query, ranked, explorable, limit) == selection
