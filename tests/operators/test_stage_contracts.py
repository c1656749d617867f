"""Every request stage, found by walking the packages, keeps the contract of its kind; deliberately broken ones are caught."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from operators.chain import feed_pipeline
from operators.filters import NotAvailable
from operators.query import Query, Rows
from operators.ranking import FeatureTable, OnlineRanker
from operators.reranking import SpacedPage
from operators.retrieval import Popular
from operators.stage_checks import PACKAGES, check_stage, stages_of
from operators.stages import Selection, Stage
from schemas.errors import ContractError

EVERY = stages_of()


@pytest.mark.parametrize("stage", EVERY)
def test_a_stage_keeps_its_contract(stage: type[Stage]) -> None:
    check_stage(stage)


def test_every_stage_that_exists_is_used_by_the_feed() -> None:
    assert {type(one) for one in feed_pipeline().stages} == set(EVERY)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_kind_exports_the_sorted_names_of_its_stages(package: ModuleType) -> None:
    assert package.__all__ == sorted(stage.__name__ for stage in stages_of([package]))
    assert all(getattr(package, name).__module__.startswith(package.__name__) for name in package.__all__)


class LooksAround(NotAvailable):
    """A filter whose verdict on a row depends on who stands beside it."""

    name = "looks_around"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        return rows > rows.mean() if len(rows) else rows > 0


class Forgetful(FeatureTable):
    """A hydrator that loses the last candidate."""

    name = "forgetful"

    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        return super().hydrate(query, rows[:-1])


class Relative(OnlineRanker):
    """A scorer that scores by the best."""

    name = "relative"

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = super().score(query, values)
        scores -= scores.max(initial=0.0)
        return scores


class Vandal(NotAvailable):
    """A filter that writes into the tables."""

    name = "vandal"

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        query.tables.counters.popularity.values[rows] += 1
        return super().removed(query, rows)


class Twice(Popular):
    """A source that finds everything twice."""

    name = "twice"

    def retrieve(self, query: Query) -> Rows:
        found = super().retrieve(query)
        return np.concatenate((found[: len(found) // 2], found[: len(found) // 2]))


class Namesake(Popular):
    """A source with the name of another."""


class Wordless(Popular):
    """A source that says less than it finds."""

    name = "wordless"

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        return super().because(query, rows)[1:]


class Demanding(NotAvailable):
    """A filter that nobody can make without knowing more."""

    name = "demanding"

    def __init__(self, *, more: int) -> None:
        self.more = more


class Short(SpacedPage):
    """A selector that leaves a place open."""

    name = "gap"

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        made = super().select(query, ranked, explorable, limit, relaxed)
        return Selection(made.slots[1:], made.removed)


class Lucky(SpacedPage):
    """A selector without luck of its own."""

    name = "lucky"
    turns = 0

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        Lucky.turns += 1
        made = super().select(query, ranked, explorable, limit, relaxed)
        return Selection(made.slots[:: (-1) ** Lucky.turns], made.removed)


@pytest.mark.parametrize(
    ("stage", "broken"),
    [
        (LooksAround, "a verdict that neighbours do not change"),
        (Forgetful, "float32 of shape"),
        (Relative, "scores that neighbours do not change"),
        (Vandal, "query and tables as they were"),
        (Twice, "each once"),
        (Namesake, "a name of its own"),
        (Wordless, "reasons in words"),
        (Demanding, r"examples\(\)"),
        (Short, "places filled"),
        (Lucky, "the same page again"),
    ],
)
def test_a_broken_stage_is_caught(stage: type[Stage], broken: str) -> None:
    with pytest.raises(ContractError, match=broken):
        check_stage(stage)


@pytest.mark.parametrize("misspelt", [True, False])
def test_a_class_that_the_pipeline_could_not_run_is_an_error(misspelt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("operators.filters.stray")
    body = {"__module__": module.__name__, "removes" if misspelt else "removed": lambda self, query, rows: rows > 0}
    bases = NotAvailable.__bases__ if misspelt else ()
    module.Stray = type("Stray", bases, body)  # type: ignore[attr-defined]
    monkeypatch.setattr("operators.checks.walk_packages", lambda *_: iter([type("M", (), {"name": module.__name__})]))
    monkeypatch.setattr("operators.checks.import_module", lambda _: module)
    with pytest.raises(ContractError, match=r"every method of its kind.*removed" if misspelt else r"a subclass of operators\.stages"):
        stages_of()
