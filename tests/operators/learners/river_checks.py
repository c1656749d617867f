"""River's own checks of an estimator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from river import base
from river.checks import yield_checks


def checks_of(model: base.Estimator) -> list[Callable[[Any], None]]:
    """Return every check of river for a model; those of a classifier use data sets that river brings along."""
    # river imports scikit-learn's data sets before it knows that none of them is asked for.
    unused = ModuleType("sklearn")
    unused.datasets = ModuleType("sklearn.datasets")  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sklearn", unused)
        return list(yield_checks(model))
