"""A page of a ranked list: spaced, without near-duplicates, with some slots given to chance."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.embeddings.simhash import hamming
from operators.outcome import Slot
from operators.query import Query, Rows
from operators.stages import Selection, Selector

NEAR_DUPLICATE = "near_duplicate"
_SPARE = 24


@dataclass(slots=True)
class _Shelf:
    """The candidates that a page is made of, as plain lists by place, best first, with their SimHashes.

    The first `n_walked` are the head of the ranked list; behind them are explorable ones, and the best of categories that the head lacks.
    """

    ranks: list[int]
    creators: list[int]
    audios: list[int]
    categories: list[int]
    simhashes: NDArray[np.uint64]
    taken: list[bool]
    n_walked: int
    pool: list[int]


class SpacedPage(Selector):
    """Greedy in the ranker's order, with rules of spacing and slots of exploration.

    Each place goes to the best candidate left whose creator and audio differ from those of the place before (the session's last page
    counts) and whose category has fewer than `category_cap` of the last `window` places. The category rule never pushes a candidate
    more than `max_delay` places back. The last places are kept for categories that the page lacks: a page of `limit` shows at least
    min(`min_categories`, ⌈limit/2⌉) of them, where the list has so many. Where nothing else is left the rules give way, the category first:
    a page is filled before it is pretty. Candidates that are alike (SimHash distance at most `max_distance`) to one on this page or on the
    session's pages are removed.

    What this leaves open for one category, however much of the head of the list it fills, while others are there: the first `category_cap`
    places, and each place from number `category_cap` + `max_delay` on (counted from 0), less those kept for other categories. By default
    3 of a page of 5 to 8, 5 of 10, 15 of 20.

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
    min_categories
        Categories that a page of 9 or more shows at least; videos of unknown category do not count.
    max_distance
        Bits in which two SimHashes may differ and still be alike, 0 to 63; 6 of 64 is 90 % alike.
    """

    name = "rerank"
    reasons = (NEAR_DUPLICATE,)

    def __init__(
        self, *, window: int = 10, category_cap: int = 3, max_delay: int = 5, min_categories: int = 5, max_distance: int = 6
    ) -> None:
        self.window = window
        self.category_cap = category_cap
        self.max_delay = max_delay
        self.min_categories = min_categories
        self.max_distance = max_distance

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        """Fill up to `limit` places from `ranked`, best first; with `near_duplicate` relaxed, what was shown may come again."""
        n = len(ranked)
        walked = min(n, 2 * limit + _SPARE)
        selection = self._fill(query, ranked, explorable, limit, walked, relaxed)
        if selection is None:
            selection = self._fill(query, ranked, explorable, limit, n, relaxed)
        return Selection([], []) if selection is None else selection

    def _fill(  # noqa: PLR0917
        self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, walked: int, relaxed: Collection[str]
    ) -> Selection | None:
        """Fill the page from the first `walked` of the list; None if more of the list is needed to keep the rules."""
        needed = self._needed(query, ranked, limit)
        shelf = self._shelf(query, ranked, explorable, walked, needed)
        last = walked == len(ranked)
        removed = [] if NEAR_DUPLICATE in relaxed else self._remove_shown(query, ranked, shelf)
        epsilon = query.tables.objective.current.exploration_rate
        draws = query.draws(2 * limit)
        creator, audio = self._shown_last(query)
        categories: list[int] = []
        slots: list[Slot] = []
        for place in range(limit):
            known = {category for category in categories if category >= 0}
            shown = known if needed - len(known) >= limit - place else None
            greedy, strict = self._greedy(shelf, place, creator, audio, categories, shown)
            if not last and not strict:
                return None
            if greedy < 0:
                break
            pool = self._fitting(shelf, creator, audio, shown) if epsilon > 0 else []
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

    def _needed(self, query: Query, ranked: Rows, limit: int) -> int:
        """Return how many categories the page must show; one is no rule."""
        categories = query.tables.items.category.values[ranked]
        needed = min(self.min_categories, -(-limit // 2), len(np.unique(categories[categories >= 0])))
        return needed if needed > 1 else 0

    def _shelf(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], walked: int, needed: int) -> _Shelf:
        items = query.tables.items
        categories = items.category.values[ranked]
        firsts = np.unique(categories, return_index=True)[1]
        spare = np.sort(firsts[(firsts >= walked) & (categories[firsts] >= 0)])[:needed]
        ranks = np.concatenate((np.arange(walked), np.union1d(walked + np.flatnonzero(explorable[walked:]), spare)))
        rows = ranked[ranks]
        return _Shelf(
            ranks=ranks.tolist(),
            creators=items.creator.values[rows].tolist(),
            audios=items.audio.values[rows].tolist(),
            categories=categories[ranks].tolist(),
            simhashes=query.tables.vectors.simhash.values[rows],
            taken=[False] * len(rows),
            n_walked=walked,
            pool=np.flatnonzero(explorable[ranks]).tolist(),
        )

    def _remove_shown(self, query: Query, ranked: Rows, shelf: _Shelf) -> list[tuple[int, str]]:
        shown = np.array(sorted({simhash for page in query.pages for simhash in page.simhashes if simhash != 0}), dtype=np.uint64)
        if len(shown) == 0:
            return []
        near = (hamming(shelf.simhashes[:, np.newaxis], shown) <= self.max_distance).any(axis=1)
        removed = []
        for place in np.flatnonzero(near).tolist():
            shelf.taken[place] = True
            removed.append((shelf.ranks[place], NEAR_DUPLICATE))
        return removed

    def _greedy(  # noqa: PLR0917
        self, shelf: _Shelf, place: int, creator: int, audio: int, categories: list[int], shown: set[int] | None
    ) -> tuple[int, bool]:
        """Return the best candidate that fits, and whether it keeps all rules; else the one that breaks least, -1 if none is left.

        `shown`: None, or the categories on the page so far where the place is kept for another one.
        """
        crowded = _crowded(categories[max(place - self.window + 1, 0) :], self.category_cap)
        first_soft = first_any = -1
        for i in range(shelf.n_walked if shown is None else len(shelf.ranks)):
            if shelf.taken[i]:
                continue
            if first_any < 0:
                first_any = i
            if 0 <= creator == shelf.creators[i] or 0 <= audio == shelf.audios[i]:
                continue
            late = place - shelf.ranks[i] >= self.max_delay
            if not _adds(shelf.categories[i], shown) or (shelf.categories[i] in crowded and not late):
                if first_soft < 0:
                    first_soft = i
                continue
            return i, True
        return (first_soft if first_soft >= 0 else first_any), False

    def _fitting(self, shelf: _Shelf, creator: int, audio: int, shown: set[int] | None) -> list[int]:
        return [
            i
            for i in shelf.pool
            if not (shelf.taken[i] or 0 <= creator == shelf.creators[i] or 0 <= audio == shelf.audios[i])
            and _adds(shelf.categories[i], shown)
        ]

    def _take(self, shelf: _Shelf, chosen: int) -> list[tuple[int, str]]:
        shelf.taken[chosen] = True
        removed = []
        near = hamming(shelf.simhashes[chosen], shelf.simhashes) <= self.max_distance
        for i in np.flatnonzero(near).tolist():
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


def _crowded(categories: list[int], cap: int) -> set[int]:
    return {category for category in set(categories) if category >= 0 and categories.count(category) >= cap}


def _adds(category: int, shown: set[int] | None) -> bool:
    """Return whether a category is one that the page lacks; True where the place is not kept for such a one."""
    return shown is None or (category >= 0 and category not in shown)
