"""Contract checks that every stage of a request must pass; found by walking the packages of stages, so none is left out.

Your own stage, in any package: ``check_stage(MyStage)``.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import operators.filters
import operators.ranking
import operators.reranking
import operators.retrieval
from operators.checks import check_constructor, classes_of, fail, run_doctests
from operators.example_queries import example_queries
from operators.query import Query, Rows
from operators.ranking import FeatureTable
from operators.stages import Filter, Hydrator, LastResort, Scorer, Selector, SideEffect, Source, Stage

PACKAGES: tuple[ModuleType, ...] = (operators.filters, operators.ranking, operators.reranking, operators.retrieval)
METHODS = frozenset({"retrieve", "because", "removed", "hydrate", "score", "select", "on_outcome"})
N_SCORED = 40


def stages_of(packages: Sequence[ModuleType] = PACKAGES) -> list[type[Stage]]:
    """Return every class of stages of some packages, by name.

    Raises
    ------
    ContractError
        If a class has a method of a stage but is none, or lacks one that its kind demands: the pipeline could not run it.
    """
    found: dict[str, type[Stage]] = {}
    for one in (one for package in packages for one in classes_of(package, abstract=True)):
        if issubclass(one, Stage):
            if inspect.isabstract(one):
                fail(one, "every method of its kind", f"none of {sorted(one.__abstractmethods__)}")
            found[f"{one.__module__}.{one.__qualname__}"] = one
        elif METHODS & vars(one).keys():
            fail(one, "a subclass of operators.stages.Stage", f"a class with {sorted(METHODS & vars(one).keys())}")
    return [found[name] for name in sorted(found)]


def check_stage(kind: type[Stage]) -> None:
    """Raise ContractError where a stage does not keep the contract of its kind."""
    check_words(kind)
    check_name(kind)
    own = kind.examples.__func__ is not Stage.examples.__func__  # type: ignore[attr-defined]
    examples = list(kind.examples()) if own or not _needed(kind) else []
    if not examples or not all(isinstance(one, kind) for one in examples):
        fail(kind, "examples() that yields such stages, as not all parameters have a default", repr(examples))
    for stage in examples:
        check_constructor(stage)
        for query in example_queries():
            check_example(stage, query)


def check_words(kind: type[Stage]) -> None:
    """Demand a docstring, whose example runs if it has one."""
    if not (kind.__doc__ or "").strip():
        fail(kind, "a docstring", "none")
    run_doctests(kind)


def check_name(kind: type[Stage]) -> None:
    """Demand a name that no other stage has."""
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        fail(kind, "a name", repr(name))
    others = [one for one in stages_of() if one is not kind and getattr(one, "name", None) == name]
    if others:
        fail(kind, "a name of its own", f"{name!r}, the name of {others[0].__qualname__}, too")


def check_example(stage: Stage, query: Query) -> None:
    """Demand of one stage what its kind promises, for one query; and that query and tables are as they were."""
    before = _looks(query)
    if type(stage.enabled(query)) is not bool or stage.enabled(query) != stage.enabled(_fresh(query)):
        fail(type(stage), "enabled() to return a bool, by the query alone", repr(stage.enabled(query)))
    checks = [check for kind, check in CHECKS.items() if isinstance(stage, kind)]
    if not checks:
        fail(type(stage), f"one of {[kind.__name__ for kind in CHECKS]}", "a stage of no kind")
    for check in checks:
        check(stage, query)
    if _looks(query) != before:
        fail(type(stage), "query and tables as they were", "changed ones")


def check_source(source: Source, query: Query) -> None:
    """Demand rows that exist, each once, at most `most`, the same ones again; and words for each of them."""
    kind, rows = type(source), source.retrieve(query)
    _array(kind, rows, np.intp, (len(rows),))
    if len(np.unique(rows)) < len(rows) or not np.isin(rows, _rows(query)).all():
        fail(kind, f"rows of {len(query.tables.videos)} videos, each once", repr(rows.tolist()))
    if len(rows) > source.most:
        fail(kind, f"at most {source.most} rows", str(len(rows)))
    for asked in (query, _fresh(query)):
        _same(kind, "the same rows again", source.retrieve(asked), rows)
    words = source.because(query, rows.tolist())
    if len(words) != len(rows) or not all(isinstance(one, str) for one in words):
        fail(kind, f"{len(rows)} reasons in words", repr(words))


def check_last_resort(source: LastResort, query: Query) -> None:
    """Demand that the best of some rows are some of them, at most `most`."""
    rows = source.everything(query)
    best = source.best(query, rows)
    if len(best) > source.most or len(np.unique(best)) < len(best) or not np.isin(best, rows).all():
        fail(type(source), f"at most {source.most} of {len(rows)} rows, each once", repr(best.tolist()))


def check_filter(one: Filter, query: Query) -> None:
    """Demand a verdict on each row, kept or removed, by that row alone."""
    kind, rows = type(one), _rows(query)
    gone = one.removed(query, rows)
    _array(kind, gone, np.bool_, (len(rows),))
    for some in _choices(len(rows)):
        _same(kind, "a verdict that neighbours do not change", one.removed(_fresh(query), _locked(rows[some])), gone[some])


def check_hydrator(one: Hydrator, query: Query) -> None:
    """Demand as many values as rows, in their order, each by its row alone."""
    kind, rows = type(one), _rows(query)
    values = one.hydrate(query, rows)
    _array(kind, values, np.float32, (len(one.outputs), len(rows)))
    for some in _choices(len(rows)):
        _same(kind, "values that neighbours do not change", one.hydrate(_fresh(query), _locked(rows[some])), values[:, some])


def check_scorer(one: Scorer, query: Query) -> None:
    """Demand a score and probabilities for each candidate, by its own values alone; a value that is not finite spoils its own only."""
    kind = type(one)
    values = _locked(np.random.default_rng(1).normal(size=(len(one.inputs), N_SCORED)).astype(np.float32))
    scores, heads = one.score(query, values), one.predict(query, values)
    if scores.shape != (N_SCORED,) or not np.issubdtype(scores.dtype, np.floating):
        fail(kind, f"{N_SCORED} floats", f"{scores.dtype} of shape {scores.shape}")
    _array(kind, heads, np.float32, (len(one.heads), N_SCORED))
    if not ((heads >= 0) & (heads <= 1)).all():
        fail(kind, "probabilities", repr(heads))
    for some in _choices(N_SCORED):
        fresh, alone = _fresh(query), _locked(values[:, some])
        _same(kind, "scores that neighbours do not change", one.score(fresh, alone), scores[some])
        _same(kind, "probabilities that neighbours do not change", one.predict(fresh, alone), heads[:, some])
    spoilt = values.copy()
    spoilt[:, 0] = np.nan
    with np.errstate(all="ignore"):
        others = one.score(query, _locked(spoilt))[1:]
    _same(kind, "a value that is not finite to change no other score", others, scores[1:])


def check_selector(one: Selector, query: Query) -> None:
    """Demand a page of the list: nothing twice, nothing that was removed, as long as asked or as long as it can be, the same again."""
    kind, ranked = type(one), _rows(query)
    explorable = _locked(ranked % 3 == 0)
    for limit in (1, 20, 100):
        selection = one.select(query, ranked, explorable, limit)
        ranks, removed = [slot.rank for slot in selection.slots], {rank for rank, _ in selection.removed}
        if len(set(ranks)) < len(ranks) or len(ranks) > limit or not set(ranks) <= set(range(len(ranked))) - removed:
            fail(kind, f"at most {limit} of {len(ranked)} candidates, each once, none that was removed", repr(selection))
        if len(ranks) < min(limit, len(ranked) - len(removed)):
            fail(kind, f"{limit} places filled, or all that were not removed", repr(selection))
        if not {reason for _, reason in selection.removed} <= set(one.reasons):
            fail(kind, f"reasons among {one.reasons}", repr(selection.removed))
        if not all(0 < slot.propensity <= 1 for slot in selection.slots):
            fail(kind, "propensities above 0, up to 1", repr(selection.slots))
        if one.select(_fresh(query), ranked, explorable, limit) != selection:
            fail(kind, "the same page again", "another")


def check_side_effect(one: SideEffect, query: Query) -> None:
    """Demand nothing: what a side effect does is outside of the answer."""


CHECKS: dict[type[Stage], Callable[[Any, Query], None]] = {
    Source: check_source,
    LastResort: check_last_resort,
    Filter: check_filter,
    Hydrator: check_hydrator,
    Scorer: check_scorer,
    Selector: check_selector,
    SideEffect: check_side_effect,
}


def _needed(kind: type[Stage]) -> list[str]:
    """Return the parameters without a default."""
    parameters = inspect.signature(kind).parameters.values()
    return [one.name for one in parameters if one.default is one.empty and one.kind not in {one.VAR_POSITIONAL, one.VAR_KEYWORD}]


def _rows(query: Query) -> Rows:
    rows: Rows = _locked(np.arange(len(query.tables.videos)))
    return rows


def _choices(n: int) -> Iterator[Rows]:
    """Yield places in other company: all backwards, one half, one alone, none."""
    shuffled = np.random.default_rng(2).permutation(n)
    yield np.arange(n)[::-1]
    yield shuffled[: n // 2]
    yield shuffled[:1]
    yield shuffled[:0]


def _locked(values: Any) -> Any:
    """Return a copy of an array that cannot be written to."""
    copy = np.ascontiguousarray(values)
    copy = copy.copy() if copy is values else copy
    copy.setflags(write=False)
    return copy


def _fresh(query: Query) -> Query:
    """Return the same query with nothing computed yet."""
    return replace(query)


def _looks(query: Query) -> bytes:
    """Return what a query and its tables look like to those who read them."""
    told = query.request, query.state, query.seen, query.pages, query.seed, query.repeated, query.tables.offsets
    rows = np.arange(len(query.tables.videos))
    return pickle.dumps((told, query.tables.videos.names(rows), FeatureTable().hydrate(_fresh(query), rows).tobytes()))


def _array(kind: type[Stage], values: NDArray[Any], dtype: Any, shape: tuple[int, ...]) -> None:
    if values.dtype != dtype or values.shape != shape:
        fail(kind, f"{np.dtype(dtype)} of shape {shape}", f"{values.dtype} of shape {values.shape}")


def _same(kind: type[Stage], what: str, got: NDArray[Any], expected: NDArray[Any]) -> None:
    if got.dtype != expected.dtype or np.ascontiguousarray(got).tobytes() != np.ascontiguousarray(expected).tobytes():
        fail(kind, what, f"{got!r:.300} instead of {expected!r:.300}")
