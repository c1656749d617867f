"""Defines the stages of a request: what each kind takes and returns. Their order is in operators.pipeline alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from operators.outcome import Outcome, Slot
from operators.query import Query, Rows


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer's places in order, and what was removed: place in the ranker's order, reason."""

    slots: list[Slot]
    removed: list[tuple[int, str]]


class Source(Protocol):
    """Finds candidates; every source runs for every request."""

    name: str

    def retrieve(self, query: Query) -> Rows:
        """Return candidates, best first, each once; none is an answer too."""

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Return why each of its candidates is shown, in words that are true; empty where it has nothing to say."""


class Filter(Protocol):
    """Takes candidates out for one reason."""

    reason: str

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` must go, shape (n,)."""


class Hydrator(Protocol):
    """Looks up what the ranker wants to know of the candidates."""

    names: tuple[str, ...]

    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        """Return one column per row and one row per name, shape (len(names), n), in the order of `rows`."""


class Scorer(Protocol):
    """Says how good each candidate is, by its own values only."""

    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the score of each column of `values` (n_names, n), shape (n,); a neighbour never changes it."""


class Selector(Protocol):
    """Makes the answer of a ranked list."""

    reasons: tuple[str, ...]

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        """Fill up to `limit` places from `ranked`, best first, some of `explorable` by chance; reasons in `relaxed` are not enforced."""


class LastResort(Protocol):
    """Offers what the sources did not find, where nothing of what they found may be shown."""

    name: str

    def everything(self, query: Query) -> Rows:
        """Return the rows of the whole catalogue."""

    def best(self, query: Query, rows: Rows) -> Rows:
        """Return the best of `rows`, best first, not more than the lineage has room for."""


class SideEffect(Protocol):
    """Sees an outcome and changes nothing about it: counting, logging."""

    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        """Take note of an outcome."""
