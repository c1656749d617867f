"""The stages of a request and the one place that knows their order, budgets, timing and counting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.ranking.order import by_score

OVER_BUDGET = "over_ranking_budget"
RANK = "rank"

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Found:
    """What a source found: rows of shape (n,), best first, and how good each looked there, shape (n,) float64."""

    rows: Rows
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the answer: which candidate (its place in the ranker's order), by chance or not, and with which probability."""

    rank: int
    explored: bool
    propensity: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer's places in order, and what was removed: place in the ranker's order, reason."""

    slots: list[Slot]
    removed: list[tuple[int, str]]


class Source(Protocol):
    """Finds candidates; every source runs for every request."""

    name: str

    def retrieve(self, query: Query) -> Found:
        """Return candidates, best first, each once; none is an answer too."""


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

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int) -> Selection:
        """Fill up to `limit` places from `ranked`, best first; `explorable` marks those that may be shown by chance."""


class SideEffect(Protocol):
    """Sees an outcome and changes nothing about it: counting, logging."""

    def on_outcome(self, query: Query, outcome: Outcome) -> None:
        """Take note of an outcome."""


@dataclass(kw_only=True)
class Outcome:
    """What became of each candidate, n in retrieval order.

    Attributes
    ----------
    rows : (n,) intp
        The candidates.
    sources : (n,) uint16
        Bit i: source i of the pipeline found it.
    main : (n,) int64
        The first source that found it.
    dropped : (n,) uint8
        0 kept, i: reason i - 1 of the pipeline.
    scores : (n,) float32
        NaN where never ranked.
    ranked : (m,) intp
        Places in `rows`, best first.
    values : (n_names, m) float32
        What the scorer saw, columns in the order of `ranked`.
    slots : list of Slot
        The answer.
    skipped : list of str
        Sources (or "rank") that did not take part.
    errors : dict of str to str
        What a source or the scorer raised.
    seconds : dict of str to float
        Time of each stage by the caller's clock.
    """

    rows: Rows
    sources: NDArray[np.uint16]
    main: NDArray[np.int64]
    dropped: NDArray[np.uint8]
    scores: NDArray[np.float32]
    ranked: Rows
    values: NDArray[np.float32]
    slots: list[Slot]
    skipped: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """Retrieve, filter, rank, re-rank, in this order and no other.

    Parameters
    ----------
    sources
        In the order of their importance: when time runs out, the last ones are skipped.
    explorer
        Name of the source whose candidates may be shown by chance.
    filters
        Their order decides only which reason is written down for a candidate that several would drop.
    hydrator, scorer, selector
        The ranker's eyes, the ranker, and what makes a page of its list.
    side_effects
        See every outcome.
    max_ranked
        Candidates that are ranked, >= 1; more are dropped from the end of the retrieval order.
    retrieve_budget_s
        Time for all sources, in seconds by the caller's clock; a source that would start later is skipped and named.
    """

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        explorer: str,
        filters: Sequence[Filter],
        hydrator: Hydrator,
        scorer: Scorer,
        selector: Selector,
        side_effects: Sequence[SideEffect] = (),
        max_ranked: int = 1_000,
        retrieve_budget_s: float = 0.03,
    ) -> None:
        self.sources = tuple(sources)
        self.explorer = explorer
        self.filters = tuple(filters)
        self.hydrator = hydrator
        self.scorer = scorer
        self.selector = selector
        self.side_effects = tuple(side_effects)
        self.max_ranked = max_ranked
        self.retrieve_budget_s = retrieve_budget_s
        self.source_names = tuple(source.name for source in self.sources)
        self.reasons = (*(one.reason for one in self.filters), OVER_BUDGET, *selector.reasons)
        self._explorer_bit = np.uint16(1 << self.source_names.index(explorer))

    def run(self, query: Query, *, limit: int, skip: Collection[str] = (), clock: Clock | None = None) -> Outcome:
        """Answer a query.

        Parameters
        ----------
        limit
            Places of the answer.
        skip
            Sources (or "rank") that must not take part: those that a recorded answer went without.
        clock
            Monotonic seconds; without one nothing is timed and no budget binds.
        """
        watch = _Watch(clock)
        outcome = self._retrieve(query, skip, watch)
        self._filter(query, outcome)
        watch.lap("filter")
        self._rank(query, outcome, skip)
        watch.lap("rank")
        ranked_rows = outcome.rows[outcome.ranked]
        explorable = (outcome.sources[outcome.ranked] & self._explorer_bit) > 0
        selection = self.selector.select(query, ranked_rows, explorable, limit)
        outcome.slots = selection.slots
        for rank, reason in selection.removed:
            outcome.dropped[outcome.ranked[rank]] = self.reasons.index(reason) + 1
        watch.lap("rerank")
        outcome.seconds = watch.seconds
        for effect in self.side_effects:
            effect.on_outcome(query, outcome)
        return outcome

    def _retrieve(self, query: Query, skip: Collection[str], watch: _Watch) -> Outcome:
        found: list[Rows] = []
        skipped: list[str] = []
        errors: dict[str, str] = {}
        for source in self.sources:
            rows: Rows = np.empty(0, dtype=np.intp)
            if source.name in skip or watch.elapsed() > self.retrieve_budget_s:
                skipped.append(source.name)
            else:
                try:
                    rows = source.retrieve(query).rows
                except Exception as error:
                    skipped.append(source.name)
                    errors[source.name] = f"{type(error).__name__}: {error}"
            found.append(rows)
        outcome = _merged(found, query.tables.videos.capacity)
        outcome.skipped, outcome.errors = skipped, errors
        watch.lap("retrieve")
        return outcome

    def _filter(self, query: Query, outcome: Outcome) -> None:
        for code, one in enumerate(self.filters, start=1):
            if one.reason not in query.relaxed:
                hit = one.removed(query, outcome.rows) & (outcome.dropped == 0)
                outcome.dropped[hit] = code
        kept = np.flatnonzero(outcome.dropped == 0)
        outcome.dropped[kept[self.max_ranked :]] = len(self.filters) + 1
        outcome.ranked = kept[: self.max_ranked]

    def _rank(self, query: Query, outcome: Outcome, skip: Collection[str]) -> None:
        if len(outcome.ranked) == 0:
            return
        if RANK not in skip:
            try:
                values = self.hydrator.hydrate(query, outcome.rows[outcome.ranked])
                scores = self.scorer.score(query, values).astype(np.float32)
            except Exception as error:
                outcome.errors[RANK] = f"{type(error).__name__}: {error}"
            else:
                order = by_score(scores, lambda place: query.tables.videos.ids[outcome.rows[outcome.ranked[place]]])
                outcome.scores[outcome.ranked] = scores
                outcome.ranked = outcome.ranked[order]
                outcome.values = values[:, order]
                return
        outcome.skipped.append(RANK)
        outcome.values = np.zeros((len(self.hydrator.names), len(outcome.ranked)), dtype=np.float32)


def _merged(found: list[Rows], capacity: int) -> Outcome:
    masks = np.zeros(capacity, dtype=np.uint16)
    firsts: list[Rows] = []
    for bit, rows in enumerate(found):
        known = masks[rows]
        firsts.append(rows[known == 0])
        masks[rows] = known | np.uint16(1 << bit)
    every = np.concatenate(firsts)
    n = len(every)
    return Outcome(
        rows=every,
        sources=masks[every],
        main=np.repeat(np.arange(len(found)), [len(rows) for rows in firsts]),
        dropped=np.zeros(n, dtype=np.uint8),
        scores=np.full(n, np.nan, dtype=np.float32),
        ranked=np.empty(0, dtype=np.intp),
        values=np.empty((0, 0), dtype=np.float32),
        slots=[],
    )


class _Watch:
    """Laps of a clock; without one, every lap is 0."""

    def __init__(self, clock: Clock | None) -> None:
        self.clock: Clock = (lambda: 0.0) if clock is None else clock
        self.seconds: dict[str, float] = {}
        self._last = self._start = self.clock()

    def elapsed(self) -> float:
        return self.clock() - self._start

    def lap(self, stage: str) -> None:
        now = self.clock()
        self.seconds[stage] = now - self._last
        self._last = now
