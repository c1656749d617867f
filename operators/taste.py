"""Turns a person's state into rows and arrays of the side tables: the last videos, and the counts of the last minutes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.tables.keyed import Keyed
from schemas.features import PANE_MS, Counter, Pane, Taken, UserState

RECENCY = 0.95
TAKEN = (Counter.LONG_VIEWS, Counter.LIKES, Counter.SHARES, Counter.COMMENTS, Counter.SAVES, Counter.FOLLOWS)
PASSED = (Counter.SKIPS, Counter.NEGATIVES)
MINUTES = (5, 30)

_taken, _passed = itemgetter(*TAKEN), itemgetter(*PASSED)


class Taste(NamedTuple):
    """Distinct videos of a person, newest first, those that the tables know.

    Attributes
    ----------
    rows : (n,) intp
        Their rows.
    places : (n,) intp
        Their places in the person's list, 0 for the newest.
    weights : (n,) float64
        How strongly each was taken to; of what was shown, how much of it was watched.
    at_ms : (n,) int64
        When; 0 is before the stream.
    strengths : (n,) float64
        How much each counts by its place: 0.95^place.
    """

    rows: NDArray[np.intp]
    places: NDArray[np.intp]
    weights: NDArray[np.float64]
    at_ms: NDArray[np.int64]
    strengths: NDArray[np.float64]


def newest(taken: Sequence[Taken], *, most: int, videos: Keyed) -> Taste:
    """Return the newest distinct videos of a list (newest last), at most `most`."""
    distinct: dict[str, Taken] = {}
    for one in reversed(taken):
        distinct.setdefault(one.video_id, one)
        if len(distinct) == most:
            break
    rows = np.array(list(map(videos.find, distinct)), dtype=np.intp)
    # A place in the list counts whether or not the tables know the video, so that an answer does not depend on mentions.
    known = np.flatnonzero(rows >= 0)
    weights = np.array([one.weight for one in distinct.values()], dtype=np.float64)
    at_ms = np.array([one.at_ms for one in distinct.values()], dtype=np.int64)
    return Taste(rows[known], known, weights[known], at_ms[known], np.power(RECENCY, known))


class Lately(NamedTuple):
    """What a person did in the last minutes.

    Attributes
    ----------
    impressions, taken, passed : int
        Videos shown, interactions that speak for a video, and skips and dislikes.
    tag_taken, tag_passed : (n,) float64
        The last two by tag, in the order of the state's tags.
    """

    impressions: int
    taken: int
    passed: int
    tag_taken: NDArray[np.float64]
    tag_passed: NDArray[np.float64]


def lately(state: UserState | None, *, now_ms: int) -> dict[int, Lately]:
    """Sum a person's one-minute panes over (now - m, now], by m: the last 5 and the last 30 minutes."""
    interests = [] if state is None else list(state.tags.values())
    sums = {minutes: (np.zeros(len(interests)), np.zeros(len(interests))) for minutes in MINUTES}
    now_minute = now_ms // PANE_MS
    for place, one in enumerate(interests):
        if one.panes and one.panes[-1].minute > now_minute - max(MINUTES):
            for minutes, (_, taken, passed) in _sums(one.panes, now_minute).items():
                sums[minutes][0][place], sums[minutes][1][place] = taken, passed
    whole = _sums([] if state is None else state.panes, now_minute)
    return {minutes: Lately(shown, taken, passed, *sums[minutes]) for minutes, (shown, taken, passed) in whole.items()}


def _sums(panes: Sequence[Pane], now_minute: int) -> dict[int, list[int]]:
    """Return impressions, what was taken to and what was passed, by the length of the window."""
    sums = {minutes: [0, 0, 0] for minutes in MINUTES}
    for pane in panes:
        age = now_minute - pane.minute
        if 0 <= age < max(MINUTES):
            counted = (pane.counts[Counter.IMPRESSIONS], sum(_taken(pane.counts)), sum(_passed(pane.counts)))
            for minutes, window in sums.items():
                if age < minutes:
                    window[:] = map(add, window, counted)
    return sums
