"""Runs the stages of a request: the one place that knows their order, budgets, timing and counting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from operators.breaker import Breaker
from operators.guard import Guard
from operators.outcome import Clock, Outcome, Slot, merged
from operators.query import Query, Rows
from operators.rules import dropped, judge, offered
from operators.scoring import Scoring
from operators.stages import Filter, Hydrator, LastResort, Scorer, Selector, SideEffect, Source, Stage
from schemas.feed import Level

OVER_BUDGET = "over_ranking_budget"
LAST_RESORT = "last_resort"
NO_ROWS: Rows = np.empty(0, dtype=np.intp)
MAX_SOURCES = 16
MAX_FILTERS = 16


class Pipeline:
    """Retrieve, filter, rank, re-rank, in this order and no other.

    Every stage runs under the same template (operators.guard). One that raises costs itself, and is named: a source finds nothing; a
    filter of safety drops everything, any other nothing; a scorer gives way to the next one, the last one to the order of retrieval;
    without the selector the head of the ranked list stands.

    Where nothing is left, the last resort offers the rest of the catalogue, and then rules give way, in the order of `relaxations`, until
    something is there. Rules of safety never do. The filters look at each candidate once, however many rules give way.

    Parameters
    ----------
    sources
        In the order of their importance, at most 15: when time runs out, the last ones are skipped.
    repeated
        The source of what stands on a page that is asked for again; then no other one runs.
    explorer
        Name of the source whose candidates may be shown by chance.
    filters
        At most 16. Their order decides only which reason is written down for a candidate that several would drop.
    hydrators, scorers
        What the scorers see, and the scorers, the best one first.
    selector
        What makes a page of the ranked list.
    last_resort
        One of the sources, which can also offer the whole catalogue; without one, nothing but what the sources found is ever shown.
    safety
        Names of the filters that never give way.
    relaxations
        Reasons that give way together, the mildest first. After the last of them every reason gives way that is none of safety.
    side_effects
        See the outcome of every answer that goes out.
    max_ranked
        Candidates that are ranked, >= 1; more are dropped from the end of the retrieval order.
    retrieve_budget_s
        Time for all sources, in seconds by the caller's clock; a source that would start later is skipped and named.
    breaker
        Makes the circuit breaker of each scorer.

    Raises
    ------
    ValueError
        If there are too many sources or filters, if two stages have one name, or if none of the sources is the explorer.
    """

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        repeated: Source,
        explorer: str,
        filters: Sequence[Filter],
        hydrators: Sequence[Hydrator],
        scorers: Sequence[Scorer],
        selector: Selector,
        last_resort: LastResort | None = None,
        safety: Collection[str] = (),
        relaxations: Sequence[tuple[str, ...]] = (),
        side_effects: Sequence[SideEffect] = (),
        max_ranked: int = 1_000,
        retrieve_budget_s: float = 0.03,
        breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        self.sources = tuple(sources)
        self.repeated = repeated
        self.last_resort = last_resort
        self.filters = tuple(filters)
        self.safety = frozenset(safety)
        self.scoring = Scoring(hydrators=hydrators, scorers=scorers, breaker=breaker)
        self.selector = selector
        self.side_effects = tuple(side_effects)
        self.max_ranked = max_ranked
        self.retrieve_budget_s = retrieve_budget_s
        self.all_sources = (*self.sources, repeated)
        self.source_names = tuple(source.name for source in self.all_sources)
        self.reasons = (*(one.name for one in self.filters), OVER_BUDGET, *selector.reasons)
        self.rules = tuple(reason for reason in self.reasons if reason != OVER_BUDGET and reason not in self.safety)
        self.relaxations = (*relaxations, self.rules)
        self.stage_names = (*(stage.name for stage in self.stages), LAST_RESORT)
        self._check()
        place = self.source_names.index(explorer)
        self.explorer = self.all_sources[place]
        self._explorer_bit = np.uint16(1 << place)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that make an answer, in their order."""
        scoring = self.scoring
        return (*self.all_sources, *self.filters, *scoring.hydrators, *scoring.scorers, self.selector)

    def run(self, query: Query, *, limit: int, skip: Collection[str] = (), clock: Clock | None = None) -> Outcome:
        """Answer a query.

        Parameters
        ----------
        limit
            Places of the answer.
        skip
            Stages that must not take part: `skipped` of a recorded answer.
        clock
            Monotonic seconds; without one nothing is timed, no budget binds and no breaker opens.
        """
        guard = Guard(query, skip=skip, clock=clock)
        found = [self._found(guard, source, late=guard.elapsed() > self.retrieve_budget_s) for source in self.sources]
        found.append(NO_ROWS)
        outcome = merged(found, query.tables.videos)
        guard.lap("retrieve")
        judge(guard, outcome, self.filters, self.safety)
        self._page(guard, outcome, limit)
        if not outcome.slots:
            outcome = self._widened(guard, found, outcome)
            for relaxed in ((), *self.relaxations):
                if not outcome.slots:
                    outcome.relaxed = relaxed
                    self._page(guard, outcome, limit)
            if not outcome.slots:
                outcome.relaxed = ()
        return self._ended(guard, outcome)

    def repeat(self, query: Query, *, limit: int, skip: Collection[str] = (), clock: Clock | None = None) -> Outcome:
        """Show again the page that was served once, in its order, without what safety takes out by now.

        Its videos are ranked, so that scores and features are those of now, but no scorer decides. The rules that gave way when it was
        served are said again. Parameters as in :meth:`run`.
        """
        guard = Guard(query, skip=skip, clock=clock)
        rows = self._found(guard, self.repeated)
        outcome = merged([*(NO_ROWS for _ in self.sources), rows], query.tables.videos)
        guard.lap("retrieve")
        judge(guard, outcome, self.filters, self.safety)
        outcome.relaxed = self.rules
        self._filter(outcome)
        guard.lap("filter")
        self.scoring.rank(guard, outcome)
        guard.lap("rank")
        outcome.slots = [Slot(rank, explored=False, propensity=1.0) for rank in np.argsort(outcome.ranked)[:limit].tolist()]
        outcome.relaxed = query.repeated.relaxed if outcome.slots and query.repeated is not None else ()
        guard.lap("rerank")
        return self._ended(guard, outcome)

    def went_out(self, query: Query, outcome: Outcome) -> None:
        """Let the side effects see the outcome of an answer that goes out; called once for each."""
        guard = Guard(query)
        for effect in self.side_effects:
            guard.run(effect, partial(effect.on_outcome, query, outcome), absent=None, failed=None)
        outcome.errors |= guard.errors

    def _check(self) -> None:
        if len(self.sources) >= MAX_SOURCES or len(self.filters) > MAX_FILTERS:
            most = f"{MAX_SOURCES - 1} sources and {MAX_FILTERS} filters"
            message = f"expected at most {most}, got {len(self.sources)} and {len(self.filters)}, at sources and filters"
            raise ValueError(message)
        names = [*self.stage_names, *(one.name for one in self.side_effects)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"expected stages of different names, got {twice} twice, at stages"
            raise ValueError(message)

    def _found(self, guard: Guard, source: Source, *, late: bool = False) -> Rows:
        def work() -> Rows:
            rows = source.retrieve(guard.query)
            if len(rows) > 0 and (rows.min() < 0 or rows.max() >= len(guard.query.tables.videos)):
                message = f"expected rows of the tables, got {rows.min()} to {rows.max()}"
                raise IndexError(message)
            return rows

        return guard.run(source, work, absent=NO_ROWS, failed=NO_ROWS, late=late)

    def _widened(self, guard: Guard, found: list[Rows], outcome: Outcome) -> Outcome:
        """Return the candidates together with the best of the rest of the catalogue that the fewest rules take out."""
        resort = self.last_resort
        if resort is None or not self.safety.isdisjoint(guard.skipped):
            return outcome
        work = partial(offered, resort, guard, outcome, self.filters, self.safety, ((), *self.relaxations))
        rest = guard.run(resort, work, absent=NO_ROWS, failed=NO_ROWS, name=LAST_RESORT)
        if len(rest) == 0:
            return outcome
        place = self.source_names.index(resort.name)
        found[place] = np.concatenate((found[place], rest[~np.isin(rest, found[place])]))
        wider = merged(found, guard.query.tables.videos)
        judge(guard, wider, self.filters, self.safety)
        return wider

    def _page(self, guard: Guard, outcome: Outcome, limit: int) -> None:
        self._filter(outcome)
        guard.lap("filter")
        self.scoring.rank(guard, outcome)
        guard.lap("rank")
        self._select(guard, outcome, limit)
        guard.lap("rerank")

    def _filter(self, outcome: Outcome) -> None:
        outcome.dropped = dropped(outcome.codes, self.filters, outcome.relaxed)
        kept = np.flatnonzero(outcome.dropped == 0)
        outcome.dropped[kept[self.max_ranked :]] = len(self.filters) + 1
        outcome.ranked = kept[: self.max_ranked]

    def _select(self, guard: Guard, outcome: Outcome, limit: int) -> None:
        outcome.slots = []
        ranked, n = outcome.ranked, len(outcome.ranked)
        if n == 0:
            return

        def work() -> tuple[list[Slot], list[tuple[int, int]]]:
            explorable = (outcome.sources[ranked] & self._explorer_bit) > 0
            selection = self.selector.select(guard.query, outcome.rows[ranked], explorable, limit, outcome.relaxed)
            removed = [(int(ranked[rank]), self.reasons.index(reason) + 1) for rank, reason in selection.removed]
            if len(selection.slots) > limit or not all(0 <= slot.rank < n for slot in selection.slots):
                message = f"expected at most {limit} places among {n} candidates, got {selection.slots}"
                raise ValueError(message)
            return selection.slots, removed

        made = guard.run(self.selector, work, absent=None, failed=None)
        if made is None:
            outcome.slots = [Slot(rank, explored=False, propensity=1.0) for rank in range(min(limit, n))]
            outcome.level = max(outcome.level, Level.ONLINE_MODEL, key=list(Level).index)
            return
        outcome.slots, removed = made
        for place, code in removed:
            outcome.dropped[place] = code

    def _ended(self, guard: Guard, outcome: Outcome) -> Outcome:
        self.scoring.predict(guard, outcome)
        guard.lap("rank")
        guard.skipped.sort(key=self.stage_names.index)
        return guard.tell(outcome)
