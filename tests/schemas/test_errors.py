"""Every exception of ours stands in the one drawn tree, under its parent, and keeps its parts between processes."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import pytest

import dataflows
import operators
import schemas
import serving
from operators.replay.side import NotReproducible
from operators.tokens import FORGED, TokenError
from schemas import errors
from schemas.codec import DecodeError
from schemas.dlq import ReasonCode
from schemas.errors import ConfigError, ContractError, PenstockError, ServiceError, TransportError
from serving.errors import RequestRefused


def drawn() -> dict[str, str]:
    """Each error of the drawing, and the one that it stands under."""
    tree = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in tree.splitlines():
        found = re.match(r" {4}([ │├└─]*)(\w+)", line)
        assert found is not None, line
        depth, name = len(found[1]) // 4, found[2]
        assert name not in parents
        parents[name] = above[depth - 1] if depth else "Exception"
        above[depth:] = [name]
    return parents


def made(package: ModuleType) -> Iterator[type[BaseException]]:
    """The exceptions that a package defines."""
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        for one in vars(import_module(module.name)).values():
            if inspect.isclass(one) and issubclass(one, BaseException) and one.__module__ == module.name:
                yield one


def test_the_tree_is_drawn_as_the_code_has_it() -> None:
    found = {one.__name__: one.__bases__ for package in (dataflows, operators, schemas, serving) for one in made(package)}
    assert {name: [base.__name__ for base in bases] for name, bases in found.items()} == {name: [above] for name, above in drawn().items()}


ONE = {"expected": "a", "got": "b", "where": "c", "do": "d"}


@pytest.mark.parametrize(
    "error",
    [
        *(kind(**ONE) for kind in (ConfigError, ContractError, ServiceError, TransportError)),
        RequestRefused(code="x", path="$.y", **ONE),
        DecodeError(ReasonCode.MALFORMED, expected="a", got="b", path="$"),
        TokenError(FORGED),
        NotReproducible("it is gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_parts_between_processes(error: PenstockError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_message_names_what_was_expected_got_where_and_what_to_do() -> None:
    error = ConfigError(expected="a port", got="'kafka'", where="--port", do="give a number")
    assert str(error) == "expected a port, got 'kafka', at --port; give a number"


def test_without_advice_the_message_ends_at_the_place() -> None:
    assert str(ServiceError(expected="a", got="b", where="c")) == "expected a, got b, at c"
