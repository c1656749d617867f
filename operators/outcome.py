"""Records what became of each candidate of a request, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from operators.query import Rows

Clock = Callable[[], float]
Codes = NDArray[np.uint32]
"""Bit i of a row's code is set where filter i would drop it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the answer: which candidate (its place in the ranker's order), by chance or not, and with which probability."""

    rank: int
    explored: bool
    propensity: float


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
    codes : (n,) uint32
        Bit i: filter i of the pipeline would drop it.
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
    relaxed : tuple of str
        Reasons that were not enforced, so that there is something to show.
    skipped : list of str
        Stages that did not take part, in the order of the stages.
    errors : dict of str to str
        What a stage raised.
    seconds : dict of str to float
        Time of each stage by the caller's clock.
    """

    rows: Rows
    sources: NDArray[np.uint16]
    main: NDArray[np.int64]
    codes: Codes
    dropped: NDArray[np.uint8]
    scores: NDArray[np.float32]
    ranked: Rows
    values: NDArray[np.float32]
    slots: list[Slot] = field(default_factory=list)
    relaxed: tuple[str, ...] = ()
    skipped: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def skip(self, stage: str, error: Exception | None = None) -> None:
        """Note that a stage takes no part, and what it raised."""
        if stage not in self.skipped:
            self.skipped.append(stage)
        if error is not None:
            self.errors[stage] = f"{type(error).__name__}: {error}"


def merged(found: Sequence[Rows], capacity: int) -> Outcome:
    """Return the candidates that sources found, each once, in the order of the sources.

    Parameters
    ----------
    found
        Rows of each source, best first.
    capacity
        Rows of the tables.
    """
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
        codes=np.zeros(n, dtype=np.uint32),
        dropped=np.zeros(n, dtype=np.uint8),
        scores=np.full(n, np.nan, dtype=np.float32),
        ranked=np.empty(0, dtype=np.intp),
        values=np.empty((0, 0), dtype=np.float32),
    )


class Stopwatch:
    """Adds up the time spent in each stage, in seconds by a clock; without one, 0."""

    def __init__(self, clock: Clock | None) -> None:
        self.clock: Clock = (lambda: 0.0) if clock is None else clock
        self.seconds: dict[str, float] = {}
        self._last = self._start = self.clock()

    def elapsed(self) -> float:
        """Return the seconds since it was made."""
        return self.clock() - self._start

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = self.clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
