"""A page of a ranked list: spaced, without near-duplicates, with some slots given to chance."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.embeddings.simhash import hamming
from operators.pipeline import Selection, Slot
from operators.query import Query, Rows

NEAR_DUPLICATE = "near_duplicate"
_SPARE = 24


@dataclass(slots=True)
class _Shelf:
    """The candidates that a page is made of, as plain lists by place; `near[i, j]`: i and j are alike."""

    ranks: list[int]
    creators: list[int]
    audios: list[int]
    categories: list[int]
    near: NDArray[np.bool_]
    taken: list[bool]
    n_walked: int
    pool: list[int]


class SpacedPage:
    """Greedy in the ranker's order, with rules of spacing and slots of exploration.

    Each place goes to the best candidate left whose creator and audio differ from those of the place before (the session's last page
    counts) and whose category has fewer than `category_cap` of the last `window` places. The category rule never pushes a candidate
    more than `max_delay` places back. Where nothing else is left the rules give way, the category first: a page is filled before it is
    pretty. Candidates that are alike (SimHash distance at most `max_distance`) to one on this page or on the session's pages are
    removed.

    With probability ε (`objective.exploration_rate`) a place goes instead to a uniform draw from the m explorable candidates that fit it:

        P(item at this place | places before) = (1 − ε)·[item is the greedy choice] + ε/m·[item is explorable],   m > 0; else greedy

    Parameters
    ----------
    window
        Places over which categories are counted, this one included.
    category_cap
        Most places of one category within a window.
    max_delay
        Places by which the category rule may delay a candidate.
    max_distance
        Bits in which two SimHashes may differ and still be alike, 0 to 63; 6 of 64 is 90 % alike.
    """

    reasons: tuple[str, ...] = (NEAR_DUPLICATE,)

    def __init__(self, *, window: int = 10, category_cap: int = 3, max_delay: int = 5, max_distance: int = 6) -> None:
        self.window = window
        self.category_cap = category_cap
        self.max_delay = max_delay
        self.max_distance = max_distance

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int) -> Selection:
        """Fill up to `limit` places from `ranked`, best first."""
        n = len(ranked)
        walked = min(n, 2 * limit + _SPARE)
        selection = self._fill(query, ranked, explorable, limit, walked)
        if selection is None:
            selection = self._fill(query, ranked, explorable, limit, n)
        return Selection([], []) if selection is None else selection

    def _fill(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, walked: int) -> Selection | None:
        """Fill the page from the first `walked` of the list; None if more of the list is needed to keep the rules."""
        shelf = self._shelf(query, ranked, explorable, walked)
        last = walked == len(ranked)
        removed = self._remove_shown(query, ranked, shelf)
        epsilon = query.tables.objective.current.exploration_rate
        draws = query.draws(2 * limit)
        creator, audio = self._shown_last(query)
        categories: deque[int] = deque(maxlen=self.window - 1)
        slots: list[Slot] = []
        for place in range(limit):
            greedy, strict = self._greedy(shelf, place, creator, audio, categories)
            if not last and not strict:
                return None
            if greedy < 0:
                break
            pool = self._fitting(shelf, creator, audio) if epsilon > 0 else []
            chosen, explored, propensity = greedy, False, 1.0
            if pool:
                explored = draws[2 * place] < epsilon
                chosen = pool[int(draws[2 * place + 1] * len(pool))] if explored else greedy
                propensity = (1.0 - epsilon) * (chosen == greedy) + (epsilon / len(pool) if chosen in pool else 0.0)
            slots.append(Slot(shelf.ranks[chosen], explored, propensity))
            removed += self._take(shelf, chosen)
            creator, audio = shelf.creators[chosen], shelf.audios[chosen]
            categories.append(shelf.categories[chosen])
        return Selection(slots, removed)

    def _shelf(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], walked: int) -> _Shelf:
        ranks = np.concatenate((np.arange(walked), walked + np.flatnonzero(explorable[walked:])))
        rows = ranked[ranks]
        items = query.tables.items
        simhashes = query.tables.vectors.simhash.values[rows]
        return _Shelf(
            ranks=ranks.tolist(),
            creators=items.creator.values[rows].tolist(),
            audios=items.audio.values[rows].tolist(),
            categories=items.category.values[rows].tolist(),
            near=hamming(simhashes[:, np.newaxis], simhashes) <= self.max_distance,
            taken=[False] * len(rows),
            n_walked=walked,
            pool=np.flatnonzero(explorable[ranks]).tolist(),
        )

    def _remove_shown(self, query: Query, ranked: Rows, shelf: _Shelf) -> list[tuple[int, str]]:
        if NEAR_DUPLICATE in query.relaxed:
            return []
        shown = np.array(sorted({simhash for page in query.pages for simhash in page.simhashes if simhash != 0}), dtype=np.uint64)
        if len(shown) == 0:
            return []
        simhashes = query.tables.vectors.simhash.values[ranked[shelf.ranks]]
        near = (hamming(simhashes[:, np.newaxis], shown) <= self.max_distance).any(axis=1)
        removed = []
        for place in np.flatnonzero(near).tolist():
            shelf.taken[place] = True
            removed.append((shelf.ranks[place], NEAR_DUPLICATE))
        return removed

    def _greedy(self, shelf: _Shelf, place: int, creator: int, audio: int, categories: deque[int]) -> tuple[int, bool]:
        """Return the best candidate that fits, and whether it keeps all rules; else the one that breaks least, -1 if none is left."""
        crowded = _crowded(categories, self.category_cap)
        first_soft = first_any = -1
        for i in range(shelf.n_walked):
            if shelf.taken[i]:
                continue
            if first_any < 0:
                first_any = i
            if 0 <= creator == shelf.creators[i] or 0 <= audio == shelf.audios[i]:
                continue
            if shelf.categories[i] in crowded and place - shelf.ranks[i] < self.max_delay:
                if first_soft < 0:
                    first_soft = i
                continue
            return i, True
        return (first_soft if first_soft >= 0 else first_any), False

    def _fitting(self, shelf: _Shelf, creator: int, audio: int) -> list[int]:
        return [i for i in shelf.pool if not (shelf.taken[i] or 0 <= creator == shelf.creators[i] or 0 <= audio == shelf.audios[i])]

    def _take(self, shelf: _Shelf, chosen: int) -> list[tuple[int, str]]:
        shelf.taken[chosen] = True
        removed = []
        for i in np.flatnonzero(shelf.near[chosen]).tolist():
            if not shelf.taken[i]:
                shelf.taken[i] = True
                removed.append((shelf.ranks[i], NEAR_DUPLICATE))
        return removed

    def _shown_last(self, query: Query) -> tuple[int, int]:
        row = query.tables.videos.find(query.pages[-1].video_ids[-1]) if query.pages and query.pages[-1].video_ids else -1
        if row < 0:
            return -1, -1
        items = query.tables.items
        return int(items.creator.values[row]), int(items.audio.values[row])


def _crowded(categories: deque[int], cap: int) -> set[int]:
    return {category for category in set(categories) if category >= 0 and categories.count(category) >= cap}
