"""The orders in which sources walk the catalogue, kept when a record is applied, so that no request looks at all rows."""

from __future__ import annotations

from math import inf

from operators.tables.counters import CounterTable, Standing
from operators.tables.items import ItemTable
from operators.tables.ordered import Ordered

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
        tie = int(self.items.hashes.values[row])
        for order, group, key in self._standing(row):
            order.add(group, key, tie, row)

    def _leave(self, row: int) -> None:
        tie = int(self.items.hashes.values[row])
        for order, group, key in self._standing(row):
            order.remove(group, key, tie, row)

    def _standing(self, row: int) -> list[tuple[Ordered, int, float]]:
        """Return all places of a row."""
        items, counted = self.items, self.counters.standing(row)
        creator, category = int(items.creator.values[row]), int(items.category.values[row])
        uploaded_ms = float(items.uploaded_ms.values[row])
        place = (int(items.region.values[row]), int(items.language.values[row]))
        places = [
            (self.ever_popular, ALL, counted.popularity),
            (self.of_place, ANYWHERE, 0.0),
            (self.of_place, self.places.setdefault(place, len(self.places)), 0.0),
        ]
        if creator >= 0:
            places.append((self.of_creator, creator, uploaded_ms))
        if category >= 0:
            places.append((self.of_category, category, counted.popularity))
        if uploaded_ms >= 0:
            places.append((self.newest, ALL, uploaded_ms))
        if counted.popular > -inf:
            places.append((self.popular, ALL, counted.popular))
        if counted.impressions < self.few:
            places.append((self.little_known, ALL, 0.0))
        return places + [(self.on_surface, surface, key) for surface, key in enumerate(counted.surfaces) if key > -inf]

    def _recount(self, row: int, before: Standing) -> None:
        if not self.items.listed.values[row]:
            return
        now, tie = self.counters.standing(row), int(self.items.hashes.values[row])
        _shift(self.popular, ALL, before.popular, now.popular, tie, row)
        if before.popularity != now.popularity:
            category = int(self.items.category.values[row])
            self.ever_popular.move(ALL, before.popularity, now.popularity, tie, row)
            if category >= 0:
                self.of_category.move(category, before.popularity, now.popularity, tie, row)
        if (before.impressions < self.few) != (now.impressions < self.few):
            change = self.little_known.add if now.impressions < self.few else self.little_known.remove
            change(ALL, 0.0, tie, row)
        if before.surfaces != now.surfaces:
            for surface, (old, new) in enumerate(zip(before.surfaces, now.surfaces, strict=True)):
                _shift(self.on_surface, surface, old, new, tie, row)


def _shift(order: Ordered, group: int, old: float, new: float, tie: int, row: int) -> None:  # noqa: PLR0917
    """Move a row in an order that holds no -inf."""
    if old == new:
        return
    if old > -inf and new > -inf:
        order.move(group, old, new, tie, row)
    elif new > -inf:
        order.add(group, new, tie, row)
    else:
        order.remove(group, old, tie, row)
