"""Runs the stages of a request: the one place that knows their order, budgets, timing and counting."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from operators.outcome import Clock, Outcome, Slot, Stopwatch, merged
from operators.query import Query, Rows
from operators.ranking.order import by_score
from operators.rules import dropped, judge, offered
from operators.stages import Filter, Hydrator, LastResort, Scorer, Selector, SideEffect, Source

OVER_BUDGET = "over_ranking_budget"
RANK = "rank"
RERANK = "rerank"
LAST_RESORT = "last_resort"
REPEATED = "repeated"
"""The source of what stands on a page that is asked for again."""
MAX_SOURCES = 16
MAX_FILTERS = 16


class Pipeline:
    """Retrieve, filter, rank, re-rank, in this order and no other.

    A stage that raises costs itself, and is named: a source finds nothing; a filter of safety drops everything, any other nothing;
    without the ranker the order of retrieval stands, without the selector the head of the ranked list.

    Where nothing is left, the last resort offers the rest of the catalogue, and then rules give way, in the order of `relaxations`, until
    something is there. Rules of safety never do. The filters look at each candidate once, however many rules give way.

    Parameters
    ----------
    sources
        In the order of their importance, at most 15: when time runs out, the last ones are skipped.
    explorer
        Name of the source whose candidates may be shown by chance.
    filters
        At most 16. Their order decides only which reason is written down for a candidate that several would drop.
    hydrator, scorer, selector
        The ranker's eyes, the ranker, and what makes a page of its list.
    last_resort
        One of the sources, which can also offer the whole catalogue; without one, nothing but what the sources found is ever shown.
    safety
        Reasons of the filters that never give way.
    relaxations
        Reasons that give way together, the mildest first. After the last of them every reason gives way that is none of safety.
    side_effects
        See the outcome of every answer that goes out.
    max_ranked
        Candidates that are ranked, >= 1; more are dropped from the end of the retrieval order.
    retrieve_budget_s
        Time for all sources, in seconds by the caller's clock; a source that would start later is skipped and named.

    Raises
    ------
    ValueError
        If there are too many sources or filters, or none of the sources is the explorer.
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
        last_resort: LastResort | None = None,
        safety: Collection[str] = (),
        relaxations: Sequence[tuple[str, ...]] = (),
        side_effects: Sequence[SideEffect] = (),
        max_ranked: int = 1_000,
        retrieve_budget_s: float = 0.03,
    ) -> None:
        if len(sources) >= MAX_SOURCES or len(filters) > MAX_FILTERS:
            most = f"{MAX_SOURCES - 1} sources and {MAX_FILTERS} filters"
            message = f"expected at most {most}, got {len(sources)} and {len(filters)}, at sources and filters"
            raise ValueError(message)
        self.sources = tuple(sources)
        self.explorer = explorer
        self.last_resort = last_resort
        self.filters = tuple(filters)
        self.safety = frozenset(safety)
        self.hydrator = hydrator
        self.scorer = scorer
        self.selector = selector
        self.side_effects = tuple(side_effects)
        self.max_ranked = max_ranked
        self.retrieve_budget_s = retrieve_budget_s
        self.source_names = (*(source.name for source in self.sources), REPEATED)
        self.reasons = (*(one.reason for one in self.filters), OVER_BUDGET, *selector.reasons)
        self.rules = tuple(reason for reason in self.reasons if reason != OVER_BUDGET and reason not in self.safety)
        self.relaxations = (*relaxations, self.rules)
        self._explorer_bit = np.uint16(1 << self.source_names.index(explorer))

    def run(self, query: Query, *, limit: int, skip: Collection[str] = (), clock: Clock | None = None) -> Outcome:
        """Answer a query.

        Parameters
        ----------
        limit
            Places of the answer.
        skip
            Stages that must not take part: `skipped` of a recorded answer.
        clock
            Monotonic seconds; without one nothing is timed and no budget binds.
        """
        stopwatch = Stopwatch(clock)
        found, outcome = self._retrieve(query, skip, stopwatch)
        judge(query, outcome, self.filters, self.safety, skip)
        self._page(query, outcome, limit, skip, stopwatch)
        if not outcome.slots:
            outcome = self._widened(query, found, outcome, skip)
            for relaxed in ((), *self.relaxations):
                if not outcome.slots:
                    outcome.relaxed = relaxed
                    self._page(query, outcome, limit, skip, stopwatch)
            if not outcome.slots:
                outcome.relaxed = ()
        return self._ended(outcome, stopwatch)

    def repeat(
        self,
        query: Query,
        rows: Rows,
        *,
        limit: int,
        relaxed: tuple[str, ...] = (),
        skip: Collection[str] = (),
        clock: Clock | None = None,
    ) -> Outcome:
        """Show again what was served once: `rows` in their order, without those that safety takes out by now.

        They are ranked, so that scores and features are those of now, but the ranker does not decide. `relaxed` names the rules that gave
        way when they were served. Other parameters as in :meth:`run`.
        """
        stopwatch = Stopwatch(clock)
        outcome = merged([*(rows[:0] for _ in self.sources), rows], query.tables.videos.capacity)
        stopwatch.lap("retrieve")
        judge(query, outcome, self.filters, self.safety, skip)
        outcome.relaxed = self.rules
        self._filter(outcome)
        stopwatch.lap("filter")
        self._rank(query, outcome, skip)
        stopwatch.lap("rank")
        outcome.slots = [Slot(rank, explored=False, propensity=1.0) for rank in np.argsort(outcome.ranked)[:limit].tolist()]
        outcome.relaxed = relaxed if outcome.slots else ()
        stopwatch.lap("rerank")
        return self._ended(outcome, stopwatch)

    def went_out(self, query: Query, outcome: Outcome) -> None:
        """Let the side effects see the outcome of an answer that goes out; called once for each."""
        for effect in self.side_effects:
            try:
                effect.on_outcome(query, outcome)
            except Exception as error:
                outcome.errors[type(effect).__name__] = f"{type(error).__name__}: {error}"

    def _retrieve(self, query: Query, skip: Collection[str], stopwatch: Stopwatch) -> tuple[list[Rows], Outcome]:
        found: list[Rows] = [np.empty(0, dtype=np.intp)] * len(self.source_names)
        failed: list[tuple[str, Exception | None]] = []
        for place, source in enumerate(self.sources):
            if source.name in skip or stopwatch.elapsed() > self.retrieve_budget_s:
                failed.append((source.name, None))
                continue
            try:
                found[place] = source.retrieve(query)
            except Exception as error:
                failed.append((source.name, error))
        outcome = merged(found, query.tables.videos.capacity)
        for name, why in failed:
            outcome.skip(name, why)
        stopwatch.lap("retrieve")
        return found, outcome

    def _widened(self, query: Query, found: list[Rows], outcome: Outcome, skip: Collection[str]) -> Outcome:
        """Return the candidates together with the best of the rest of the catalogue that the fewest rules take out."""
        if self.last_resort is None or not self.safety.isdisjoint(outcome.skipped):
            return outcome
        if LAST_RESORT in skip:
            outcome.skip(LAST_RESORT)
            return outcome
        try:
            rest = offered(self.last_resort, query, outcome, self.filters, self.safety, ((), *self.relaxations))
        except Exception as error:
            outcome.skip(LAST_RESORT, error)
            return outcome
        if len(rest) == 0:
            return outcome
        place = self.source_names.index(self.last_resort.name)
        found[place] = np.concatenate((found[place], rest[~np.isin(rest, found[place])]))
        wider = merged(found, query.tables.videos.capacity)
        wider.skipped, wider.errors = outcome.skipped, outcome.errors
        judge(query, wider, self.filters, self.safety, outcome.skipped)
        return wider

    def _page(self, query: Query, outcome: Outcome, limit: int, skip: Collection[str], stopwatch: Stopwatch) -> None:
        self._filter(outcome)
        stopwatch.lap("filter")
        self._rank(query, outcome, skip)
        stopwatch.lap("rank")
        self._select(query, outcome, limit, skip)
        stopwatch.lap("rerank")

    def _filter(self, outcome: Outcome) -> None:
        outcome.dropped = dropped(outcome.codes, self.filters, outcome.relaxed)
        kept = np.flatnonzero(outcome.dropped == 0)
        outcome.dropped[kept[self.max_ranked :]] = len(self.filters) + 1
        outcome.ranked = kept[: self.max_ranked]

    def _rank(self, query: Query, outcome: Outcome, skip: Collection[str]) -> None:
        outcome.scores[:] = np.nan
        outcome.values = np.zeros((len(self.hydrator.names), len(outcome.ranked)), dtype=np.float32)
        if len(outcome.ranked) == 0:
            return
        if RANK in skip or RANK in outcome.skipped:
            outcome.skip(RANK)
            return
        try:
            values = self.hydrator.hydrate(query, outcome.rows[outcome.ranked])
            scores = self.scorer.score(query, values).astype(np.float32)
            order = by_score(scores, lambda place: query.tables.videos.ids[outcome.rows[outcome.ranked[place]]])
            outcome.scores[outcome.ranked] = scores
            outcome.ranked, outcome.values = outcome.ranked[order], values[:, order]
        except Exception as error:
            outcome.skip(RANK, error)
            outcome.scores[:] = np.nan

    def _select(self, query: Query, outcome: Outcome, limit: int, skip: Collection[str]) -> None:
        outcome.slots = []
        if len(outcome.ranked) == 0:
            return
        if RERANK not in skip and RERANK not in outcome.skipped:
            explorable = (outcome.sources[outcome.ranked] & self._explorer_bit) > 0
            try:
                selection = self.selector.select(query, outcome.rows[outcome.ranked], explorable, limit, outcome.relaxed)
                removed = [(outcome.ranked[rank], self.reasons.index(reason) + 1) for rank, reason in selection.removed]
            except Exception as error:
                outcome.skip(RERANK, error)
            else:
                outcome.slots = selection.slots
                for place, code in removed:
                    outcome.dropped[place] = code
                return
        outcome.skip(RERANK)
        outcome.slots = [Slot(rank, explored=False, propensity=1.0) for rank in range(min(limit, len(outcome.ranked)))]

    def _ended(self, outcome: Outcome, stopwatch: Stopwatch) -> Outcome:
        stages = (*self.source_names, *(one.reason for one in self.filters), RANK, RERANK, LAST_RESORT)
        outcome.skipped.sort(key=stages.index)
        outcome.seconds = stopwatch.seconds
        return outcome
