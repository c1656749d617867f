"""Contract checks that every stream operator must pass; found by walking the package, so none is left out.

Your own operator, in any package: ``for name, check in checks_of(MyOperator): check()``. Stages of an answer are checked by
operators.stage_checks, views of side topics by operators.view_checks.
"""

from __future__ import annotations

import doctest
import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

import operators
from operators.base import BucketedOperator, Example, State, StreamOperator
from schemas.errors import ContractError

Operator: TypeAlias = type[StreamOperator[Any, Any]]
Check: TypeAlias = Callable[[], None]

PLAIN = (type(None), bool, int, float, str, bytes)
GROWTH = 1.05


def operators_of(package: ModuleType = operators) -> list[Operator]:
    """Return every stream operator of a package, by name.

    Raises
    ------
    ContractError
        If a class has `on_batch` and `snapshot` but is no StreamOperator: no check would find it.
    """
    found: dict[str, Operator] = {}
    for one in classes_of(package):
        if issubclass(one, StreamOperator):
            found[f"{one.__module__}.{one.__qualname__}"] = one
        elif hasattr(one, "on_batch") and hasattr(one, "snapshot"):
            fail(one, "a subclass of operators.base.StreamOperator", "a class with on_batch and snapshot")
    return [found[name] for name in sorted(found)]


def classes_of(package: ModuleType, *, abstract: bool = False) -> Iterator[type]:
    """Yield every class of every module of a package; those that are abstract only if asked for."""
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        for one in vars(import_module(module.name)).values():
            if inspect.isclass(one) and one.__module__ == module.name and (abstract or not inspect.isabstract(one)):
                yield one


def checks_of(kind: Operator) -> Iterator[tuple[str, Check]]:
    """Yield each check of an operator, with a name; calling it raises ContractError where the contract is broken."""
    yield "docstring", lambda: check_docstring(kind)
    yield "constructor", lambda: check_constructor(next(iter(kind.examples())).make())
    for n, example in enumerate(kind.examples()):
        for check in EXAMPLE_CHECKS:
            yield f"{check.__name__.removeprefix('check_')}-{n}", lambda check=check, example=example: check(kind, example)  # type: ignore[misc]


def check_docstring(kind: Operator) -> None:
    """Demand a docstring with a running example."""
    if run_doctests(kind) == 0:
        fail(kind, "a docstring with an example", "none")


def run_doctests(kind: type) -> int:
    """Run the examples of a class's docstring; return how many docstrings had some.

    Raises
    ------
    ContractError
        If one of them fails.
    """
    name = f"{kind.__module__}.{kind.__qualname__}"
    scope = vars(import_module(kind.__module__))
    tests = [test for test in doctest.DocTestFinder(recurse=False).find(kind, name, globs=dict(scope)) if test.examples]
    for test in tests:
        if doctest.DocTestRunner(verbose=False).run(test).failed > 0:
            fail(kind, "an example that runs", "a failure (printed above)")
    return len(tests)


def check_constructor(made: object) -> None:
    """Demand keyword-only parameters that are stored under their names."""
    kind = type(made)
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            fail(kind, "keyword-only parameters", f"{parameter.name}: {parameter.kind.description}")
        if not hasattr(made, parameter.name):
            fail(kind, "parameters stored under their names", f"no attribute {parameter.name}")


def check_is_deterministic(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand the same outputs and state of the same events."""
    _same(kind, "twice the same", _run(example, [example.events]), _run(example, [example.events]))


def check_leaves_input_alone(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand that events are not changed."""
    before = pickle.dumps(list(example.events))
    _run(example, [example.events])
    if pickle.loads(before) != list(example.events):
        fail(kind, "events as they were", "changed events")


def check_snapshot_is_plain(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand versioned, plain data that later events do not change."""
    operator = example.make()
    half = len(example.events) // 2
    operator.on_batch(example.events[:half])
    state = operator.snapshot()
    if "version" not in state or not _is_plain(state):
        fail(kind, "a snapshot of plain data with a version", repr(state)[:200])
    before = pickle.dumps(state)
    operator.on_batch(example.events[half:])
    if pickle.loads(before) != state:
        fail(kind, "a snapshot that stays", "one that later events changed")


def check_one_by_one_equals_batch(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand the same result however the events are cut into batches, empty ones included."""
    events = example.events
    whole = _run(example, [events])
    for size in (1, 2, 7, 64):
        cuts = [*range(0, len(events), size), len(events)]
        _same(kind, f"batches of {size} like one batch", _run(example, [[], *(events[a:b] for a, b in pairwise(cuts))]), whole)


def check_survives_a_crash_at_every_event(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand the same result when the operator is made anew from its snapshot before any event."""
    events = list(example.events)
    whole = _run(example, [events])
    operator = example.make()
    outputs: list[Any] = []
    for at, event in enumerate(events):
        restarted = example.make()
        restarted.restore(pickle.loads(pickle.dumps(operator.snapshot())))
        _same(kind, f"a crash before event {at} to change nothing", _finish(example, restarted, outputs, events[at:]), whole)
        outputs += operator.on_event(event)


def check_changes_only_buckets_it_names(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand of a bucketed operator that head and touched buckets, saved after each batch, are all that a restart needs."""
    operator = example.make()
    if not isinstance(operator, BucketedOperator):
        return
    events = list(example.events)
    whole = _run(example, [events])
    outputs: list[Any] = []
    saved: dict[int, bytes] = {}
    for at, event in enumerate(events):
        outputs += operator.on_event(event)
        if at % 5 == 0:
            outputs += operator.on_time(example.finish_ms)
        saved.update({bucket: operator.snapshot_bucket(bucket) for bucket in operator.touched([event])})
        state: State = {"version": operator.VERSION, "head": operator.snapshot_head(), "buckets": dict(saved)}
        restarted = example.make()
        restarted.restore(pickle.loads(pickle.dumps(state)))
        _same(kind, f"event {at} to change named buckets only", _finish(example, restarted, outputs, events[at + 1 :]), whole)


def check_memory_is_bounded(kind: Operator, example: Example[Any, Any]) -> None:
    """Demand that the state stops growing after `bound` events of an endless stream."""
    if example.endless is None:
        return
    operator = example.make()
    sizes = []
    for start in (0, example.bound, 2 * example.bound, 3 * example.bound):
        for n in range(start, start + example.bound):
            operator.on_event(example.endless(n))
            operator.on_time(example.finish_ms)
        sizes.append(len(pickle.dumps(operator.snapshot())))
    if max(sizes[2:]) > GROWTH * max(sizes[:2]) + 64:
        fail(kind, f"a state that stops growing after {example.bound} events", f"bytes {sizes}")


EXAMPLE_CHECKS: tuple[Callable[[Operator, Example[Any, Any]], None], ...] = (
    check_is_deterministic,
    check_leaves_input_alone,
    check_snapshot_is_plain,
    check_one_by_one_equals_batch,
    check_survives_a_crash_at_every_event,
    check_changes_only_buckets_it_names,
    check_memory_is_bounded,
)


def _run(example: Example[Any, Any], batches: Sequence[Sequence[Any]]) -> tuple[Any, State]:
    operator = example.make()
    outputs = [output for batch in batches for output in operator.on_batch(batch)]
    return _finish(example, operator, outputs, [])


def _finish(example: Example[Any, Any], operator: StreamOperator[Any, Any], before: list[Any], events: Sequence[Any]) -> tuple[Any, State]:
    outputs = [*before, *operator.on_batch(events), *operator.on_time(example.finish_ms)]
    return example.folded(outputs), operator.snapshot()


def _same(kind: Operator, what: str, got: tuple[Any, State], expected: tuple[Any, State]) -> None:
    for name, one, other in zip(("outputs", "state"), got, expected, strict=True):
        if one != other:
            fail(kind, f"{what} ({name})", f"{one!r:.300} instead of {other!r:.300}")


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) in PLAIN and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return type(value) in PLAIN


def fail(kind: type, expected: str, got: str) -> NoReturn:
    """Say what a class does not keep.

    Raises
    ------
    ContractError
        Always.
    """
    raise ContractError(expected=expected, got=got, where=f"{kind.__module__}.{kind.__qualname__}")
