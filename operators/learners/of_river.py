"""Makes objects of river by their names; nothing else can be named."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from river import base

Kind = TypeVar("Kind", bound=base.Base)

NAME = re.compile(r"river(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]*")


def of_river(kind: type[Kind], name: str, params: Mapping[str, Any], *, seed: int = 0) -> Kind:
    """Make an object of a class of river.

    A parameter that is an object itself is written as a mapping of its name to its parameters:
    ``{"optimizer": {"river.optim.AdaGrad": {"lr": 0.1}}}``.

    Parameters
    ----------
    kind
        What it must be.
    name
        Its dotted name, as in river's documentation.
    params
        Its parameters.
    seed
        Its seed, where it takes one and none is given.

    Raises
    ------
    ValueError
        If river has no such class, or it does not take these parameters.

    Examples
    --------
    >>> model = of_river(base.Classifier, "river.linear_model.LogisticRegression", {"optimizer": {"river.optim.AdaGrad": {"eps": 1e-6}}})
    >>> model.optimizer.eps
    1e-06
    """
    found = _class(name)
    if not issubclass(found, kind) or inspect.isabstract(found):
        message = f"expected a {kind.__name__} of river, got {name}"
        raise ValueError(message)
    given = {key: _value(one, seed) for key, one in params.items()}
    if "seed" in inspect.signature(found).parameters:
        given.setdefault("seed", seed)
    try:
        return found(**given)
    except TypeError as error:
        message = f"expected parameters of {name}, got {', '.join(params)}: {error}"
        raise ValueError(message) from None


def _class(name: str) -> type[base.Base]:
    module, _, of_it = name.rpartition(".")
    try:
        found = getattr(import_module(module), of_it, None) if NAME.fullmatch(name) else None
    except ModuleNotFoundError:
        found = None
    # What river imports from elsewhere is not river's.
    if not inspect.isclass(found) or not issubclass(found, base.Base) or not found.__module__.startswith("river."):
        message = f"expected the name of a class of river, like river.linear_model.LogisticRegression, got {name!r}"
        raise ValueError(message)
    return found


def _value(given: Any, seed: int) -> Any:
    if isinstance(given, list):
        return [_value(one, seed) for one in given]
    if isinstance(given, dict) and len(given) == 1:
        (name, params), *_ = given.items()
        if NAME.fullmatch(name):
            return of_river(base.Base, name, params, seed=seed)
    return given
