"""Ranks the candidates of an answer: hydrates them, and lets the best scorer that can decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.breaker import Breaker
from operators.guard import Guard
from operators.outcome import Outcome
from operators.ranking.order import by_score
from operators.stages import Hydrator, Scorer
from schemas.feed import Level
from schemas.learning import MAX_HEADS


class Scoring:
    """Scorers in their order of preference, each behind a circuit breaker; where none can decide, the order of retrieval stands.

    A scorer is passed over, within the same answer, if its breaker is open, if it raises, if it finds no finite score, or if a hydrator
    that it reads failed. An open breaker depends on the clock, so its scorer is named among the skipped: a replay passes it over too.

    Parameters
    ----------
    hydrators
        Run for every answer; each adds its named values.
    scorers
        The best one first.
    breaker
        Makes the breaker of each scorer.

    Raises
    ------
    ValueError
        If two hydrators give one value, if a scorer reads a value that none gives, or if a scorer has too many heads.
    """

    def __init__(self, *, hydrators: Sequence[Hydrator], scorers: Sequence[Scorer], breaker: Callable[[], Breaker]) -> None:
        self.hydrators = tuple(hydrators)
        self.scorers = tuple(scorers)
        self.outputs = tuple(name for one in self.hydrators for name in one.outputs)
        _check(self.outputs, self.scorers)
        self._breakers = {one.name: breaker() for one in self.scorers}
        self._inputs = {one.name: _places(self.outputs, one.inputs) for one in self.scorers}

    def rank(self, guard: Guard, outcome: Outcome) -> None:
        """Put `outcome.ranked` in the order of falling score, ties by video id, and write down what decided."""
        n = len(outcome.ranked)
        outcome.scores[:] = np.nan
        outcome.values = np.zeros((len(self.outputs), n), dtype=np.float32)
        outcome.scorer, outcome.level = "", Level.CF_CACHE
        if n == 0:
            return
        ids, rows = guard.query.tables.videos.ids, outcome.rows[outcome.ranked]
        values, missing = self._hydrated(guard, outcome)

        def name(place: int) -> str:
            video_id: str = ids[rows[place]]
            return video_id

        for scorer in self.scorers:
            scores = self._scores(guard, scorer, values) if missing.isdisjoint(scorer.inputs) else None
            if scores is not None:
                order = by_score(scores, name)
                outcome.scores[outcome.ranked] = scores
                outcome.ranked, outcome.values = outcome.ranked[order], values[:, order]
                outcome.scorer, outcome.level = scorer.name, scorer.level
                return

    def predict(self, guard: Guard, outcome: Outcome) -> None:
        """Write down what the scorer that decided predicts of what is shown; one that fails to predicts nothing, and still decided."""
        outcome.head_names, outcome.heads = (), np.empty((0, len(outcome.slots)), dtype=np.float32)
        ranks = [slot.rank for slot in outcome.slots]
        for scorer in self.scorers:
            if scorer.name == outcome.scorer and scorer.heads and ranks:
                try:
                    values = outcome.values[self._inputs[scorer.name]][:, ranks]
                    outcome.heads = _shaped(scorer.predict(guard.query, values), (len(scorer.heads), len(ranks)))
                except Exception as error:
                    guard.errors[f"heads of {scorer.name}"] = f"{type(error).__name__}: {error}"
                else:
                    outcome.head_names = scorer.heads

    def values(self, outcome: Outcome, names: Sequence[str]) -> NDArray[np.float32]:
        """Return the values of some names, shape (len(names), m), columns in the order of `outcome.ranked`."""
        return outcome.values[_places(self.outputs, names)]

    def _hydrated(self, guard: Guard, outcome: Outcome) -> tuple[NDArray[np.float32], set[str]]:
        """Return the values of all hydrators, shape (len(outputs), n), and the names of those that are missing."""
        rows = outcome.rows[outcome.ranked]
        values = np.zeros((len(self.outputs), len(rows)), dtype=np.float32)
        missing: set[str] = set()
        start = 0
        for hydrator in self.hydrators:
            block = values[start : start + len(hydrator.outputs)]
            start += len(block)

            def work(hydrator: Hydrator = hydrator, block: NDArray[np.float32] = block) -> bool:
                block[:] = _shaped(hydrator.hydrate(guard.query, rows), block.shape)
                return True

            if not guard.run(hydrator, work, absent=False, failed=False):
                missing.update(hydrator.outputs)
        return values, missing

    def _scores(self, guard: Guard, scorer: Scorer, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
        def work() -> NDArray[np.float32]:
            return _finite(_shaped(scorer.score(guard.query, values[self._inputs[scorer.name]]), (values.shape[1],)))

        breaker, before = self._breakers[scorer.name], guard.seconds.get(scorer.name, 0.0)
        late = guard.timed and breaker.is_open(now_s=guard.clock())
        runs = guard.timed and not late and not guard.is_out(scorer.name)
        scores = guard.run(scorer, work, absent=None, failed=None, late=late)
        raised = scorer.name in guard.errors
        if runs and (scores is not None or raised):
            breaker.ran(took_s=guard.seconds[scorer.name] - before, raised=raised, now_s=guard.clock())
        return scores


def _finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(scores).any():
        message = f"expected finite scores, got none of {len(scores)}"
        raise ValueError(message)
    return scores


def _shaped(values: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if values.shape != shape:
        message = f"expected an array of shape {shape}, got {values.shape}"
        raise ValueError(message)
    return values.astype(np.float32, copy=False)


def _places(outputs: Sequence[str], inputs: Sequence[str]) -> slice | list[int]:
    """Return where the inputs stand among the outputs: a slice, which copies nothing, where they stand together."""
    places = [outputs.index(name) for name in inputs]
    together = places == list(range(places[0], places[0] + len(places))) if places else False
    return slice(places[0], places[0] + len(places)) if together else places


def _check(outputs: Sequence[str], scorers: Sequence[Scorer]) -> None:
    if len(set(outputs)) < len(outputs):
        twice = sorted({name for name in outputs if outputs.count(name) > 1})
        message = f"expected each value from one hydrator, got {twice} twice, at hydrators"
        raise ValueError(message)
    for one in scorers:
        unknown = sorted(set(one.inputs) - set(outputs))
        if unknown:
            message = f"expected inputs that a hydrator gives, got {unknown}, at scorer {one.name}"
            raise ValueError(message)
        if len(one.heads) > MAX_HEADS:
            message = f"expected at most {MAX_HEADS} heads, got {len(one.heads)}, at scorer {one.name}"
            raise ValueError(message)
