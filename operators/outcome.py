"""Records what became of each candidate of a request, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from operators.query import Rows
from operators.tables.keyed import Keyed
from schemas.feed import Level

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
    values : (n_values, m) float32
        What the hydrators gave, columns in the order of `ranked`; zeros where no scorer decided.
    scorer : str
        Name of the scorer that decided, empty where none did.
    head_names : tuple of str
        Its heads.
    heads : (n_heads, n_slots) float32
        The probability of each of its heads, columns in the order of `slots`.
    level : Level
        How far ranking and re-ranking had to step down.
    slots : list of Slot
        The answer.
    relaxed : tuple of str
        Reasons that were not enforced, so that there is something to show.
    skipped : list of str
        Stages that did not take part, in the order of the stages.
    errors : dict of str to str
        What a stage raised.
    seconds : dict of str to float
        Time of each part of the answer by the caller's clock.
    stage_seconds : dict of str to float
        Time of each stage that took part, by the same clock.
    """

    rows: Rows
    sources: NDArray[np.uint16]
    main: NDArray[np.int64]
    codes: Codes
    dropped: NDArray[np.uint8]
    scores: NDArray[np.float32]
    ranked: Rows
    values: NDArray[np.float32]
    scorer: str = ""
    head_names: tuple[str, ...] = ()
    heads: NDArray[np.float32]
    level: Level = Level.FULL
    slots: list[Slot] = field(default_factory=list)
    relaxed: tuple[str, ...] = ()
    skipped: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)


def merged(found: Sequence[Rows], videos: Keyed) -> Outcome:
    """Return the candidates that sources found, each once, in the order of the sources.

    Parameters
    ----------
    found
        Rows of each source, best first.
    videos
        Their row space.
    """
    every = np.concatenate(found)
    by = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    first, same = videos.distinct(every)
    n = len(first)
    sources = np.zeros(n, dtype=np.uint16)
    np.bitwise_or.at(sources, same, np.left_shift(1, by).astype(np.uint16))
    return Outcome(
        rows=every[first],
        sources=sources,
        main=by[first],
        codes=np.zeros(n, dtype=np.uint32),
        dropped=np.zeros(n, dtype=np.uint8),
        scores=np.full(n, np.nan, dtype=np.float32),
        ranked=np.empty(0, dtype=np.intp),
        values=np.empty((0, 0), dtype=np.float32),
        heads=np.empty((0, 0), dtype=np.float32),
    )
