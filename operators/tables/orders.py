"""The orders in which sources walk the catalogue, kept when a record is applied, so that no request looks at all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.tables.counters import CounterTable, Standing
from operators.tables.items import ItemTable
from operators.tables.ordered import Ordered

Rows = NDArray[np.intp]

ALL = 0
"""The group of an order that has only one."""
ANYWHERE = -1
"""The group of `of_place` that holds every listed video."""


class Orders:
    """Listed videos in order, equal ones by the hash of their id: the same whatever came first and wherever rows lie.

    Parameters
    ----------
    items, counters
        The tables of videos; a change of theirs is taken over at once.
    few
        Videos with fewer impressions than this are little known.

    Attributes
    ----------
    popular : Ordered
        By how popular they are now; those that nobody took to are left out.
    ever_popular : Ordered
        By how popular they ever were; holds every listed video.
    on_surface : Ordered
        A group per surface, by impressions of late.
    newest : Ordered
        By upload; those without a date are left out.
    of_creator : Ordered
        A group per creator, by upload, those without a date last.
    of_category : Ordered
        A group per category, by how popular they ever were.
    of_place : Ordered
        A group per region and language (`places`) and one of all, by hash alone.
    little_known : Ordered
        Those with few impressions, by hash alone.
    places : dict of (region code, language code) to group
    """

    def __init__(self, *, items: ItemTable, counters: CounterTable, few: int = 1_000) -> None:
        self.items = items
        self.counters = counters
        self.few = few
        self.popular = Ordered()
        self.ever_popular = Ordered()
        self.on_surface = Ordered()
        self.newest = Ordered()
        self.of_creator = Ordered()
        self.of_category = Ordered()
        self.of_place = Ordered()
        self.little_known = Ordered()
        self.places: dict[tuple[int, int], int] = {}
        items.watch(enter=self._enter, leave=self._leave)
        counters.watch(self._recount)

    def _enter(self, row: int) -> None:
        tie, popularity = int(self.items.hashes.values[row]), self.counters.standing(row).popularity
        for order, group, key in self._of_item(row, popularity):
            order.add(group, key, tie, row)
        self._move(row, tie, None, self.counters.standing(row))

    def _leave(self, row: int) -> None:
        tie, popularity = int(self.items.hashes.values[row]), self.counters.standing(row).popularity
        for order, group, key in self._of_item(row, popularity):
            order.remove(group, key, tie, row)
        self._move(row, tie, self.counters.standing(row), None)

    def _of_item(self, row: int, popularity: float) -> list[tuple[Ordered, int, float]]:
        items = self.items
        creator, category = int(items.creator.values[row]), int(items.category.values[row])
        uploaded_ms = float(items.uploaded_ms.values[row])
        place = (int(items.region.values[row]), int(items.language.values[row]))
        standing = [(self.of_place, ANYWHERE, 0.0), (self.of_place, self.places.setdefault(place, len(self.places)), 0.0)]
        if creator >= 0:
            standing.append((self.of_creator, creator, uploaded_ms))
        if category >= 0:
            standing.append((self.of_category, category, popularity))
        if uploaded_ms >= 0:
            standing.append((self.newest, ALL, uploaded_ms))
        return standing

    def _recount(self, row: int, before: Standing) -> None:
        if not self.items.listed.values[row]:
            return
        now, tie = self.counters.standing(row), int(self.items.hashes.values[row])
        category = int(self.items.category.values[row])
        if category >= 0 and before.popularity != now.popularity:
            self.of_category.remove(category, before.popularity, tie, row)
            self.of_category.add(category, now.popularity, tie, row)
        self._move(row, tie, before, now)

    def _move(self, row: int, tie: int, before: Standing | None, now: Standing | None) -> None:
        """Move a row in the orders of its counters; None is where it is not listed."""
        old = [] if before is None else self._of_counters(before)
        new = [] if now is None else self._of_counters(now)
        for order, group, key in old:
            if (order, group, key) not in new:
                order.remove(group, key, tie, row)
        for order, group, key in new:
            if (order, group, key) not in old:
                order.add(group, key, tie, row)

    def _of_counters(self, standing: Standing) -> list[tuple[Ordered, int, float]]:
        places = [(self.ever_popular, ALL, standing.popularity)]
        if standing.popular > -np.inf:
            places.append((self.popular, ALL, standing.popular))
        if standing.impressions < self.few:
            places.append((self.little_known, ALL, 0.0))
        places += [(self.on_surface, surface, key) for surface, key in enumerate(standing.surfaces) if key > -np.inf]
        return places
