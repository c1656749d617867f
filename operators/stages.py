"""Defines the stages of a request: what each kind takes and returns. Their order is in operators.pipeline alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from operators.outcome import Outcome, Slot
from operators.query import Query, Rows
from schemas.feed import Level


class Stage(ABC):
    """One step of an answer: a pure function of the query and the side tables.

    Attributes
    ----------
    name
        Its name in lineage, metrics and logs, unlike any other's.
    """

    name: str

    def enabled(self, query: Query) -> bool:
        """Return whether it takes part in this answer; by the query alone. Where it does not, it is as if it were not there."""
        return True

    @classmethod
    def examples(cls) -> Iterator[Self]:
        """Yield stages for the contract checks (operators.stage_checks), by default one with the default parameters."""
        yield cls()


class Source(Stage):
    """Finds candidates.

    Attributes
    ----------
    most
        Candidates that it returns at most.
    """

    most: int

    @abstractmethod
    def retrieve(self, query: Query) -> Rows:
        """Return candidates, best first, each once; none is an answer too."""

    @abstractmethod
    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Return why each of its candidates is shown, in words that are true; empty where it has nothing to say."""


class LastResort(Source):
    """Offers what the sources did not find, where nothing of what they found may be shown; `enabled` holds for both."""

    @abstractmethod
    def everything(self, query: Query) -> Rows:
        """Return the rows of the whole catalogue."""

    @abstractmethod
    def best(self, query: Query, rows: Rows) -> Rows:
        """Return the best of `rows`, best first, not more than the lineage has room for."""


class Filter(Stage):
    """Takes candidates out for one reason, which is its name."""

    @abstractmethod
    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        """Return which of `rows` must go, shape (n,)."""


class Hydrator(Stage):
    """Looks up what the scorers want to know of the candidates.

    Attributes
    ----------
    outputs
        Names of its values, unlike those of any other hydrator.
    """

    outputs: tuple[str, ...]

    @abstractmethod
    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        """Return one column per row and one row per name, shape (len(outputs), n), in the order of `rows`."""


class Scorer(Stage):
    """Says how good each candidate is, by its own values only.

    Attributes
    ----------
    inputs
        Names of the values that it reads. Where one is missing, because its hydrator failed, the scorer cannot decide.
    heads
        Names of what it predicts, at most `schemas.learning.MAX_HEADS`.
    level
        The level of an answer that it decides.
    """

    inputs: tuple[str, ...]
    heads: tuple[str, ...] = ()
    level: Level

    @abstractmethod
    def score(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the score of each column of `values` (len(inputs), n), shape (n,); a neighbour never changes it."""

    def predict(self, query: Query, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each head for each column of `values`, shape (len(heads), n); asked for what is shown."""
        return np.empty((0, values.shape[1]), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer's places in order, and what was removed: place in the ranker's order, reason."""

    slots: list[Slot]
    removed: list[tuple[int, str]]


class Selector(Stage):
    """Makes the answer of a ranked list.

    Attributes
    ----------
    reasons
        Why it removes candidates.
    """

    reasons: tuple[str, ...] = ()

    @abstractmethod
    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        """Fill up to `limit` places from `ranked`, best first, some of `explorable` by chance; reasons in `relaxed` are not enforced."""


class SideEffect(Stage):
    """Sees an outcome and changes nothing about it: counting, logging."""

    @abstractmethod
    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        """Take note of an outcome."""
