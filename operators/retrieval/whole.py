"""Every video, while the catalogue is small; the best of it that may be shown, where no other source finds anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.query import Query, Rows
from operators.retrieval.best import NO_ROWS, best
from operators.stages import LastResort
from operators.tables.keyed import Keyed
from operators.tables.orders import ALL, ANYWHERE


class WholeCatalogue(LastResort):
    """All videos of a catalogue that is not larger than what would be retrieved of it anyway; the last resort of a larger one.

    As a last resort it offers every video of a catalogue of at most `offered`. Of a larger one it offers so many at most, a quarter each:
    the most popular of all times, and by chance those for the person's region and language, those for one of the two, and any. If a share p
    of the catalogue could be shown, all of it is missed with probability (1 - p)^(offered / 4) at most: 0.7 % for one in a thousand.

    Parameters
    ----------
    most
        The largest catalogue that is taken whole; of a larger one nothing comes from here until the last resort is asked.
    offered
        Videos that the last resort offers at most.
    """

    name = "catalogue"

    def __init__(self, *, most: int = 1_200, offered: int = 20_000) -> None:
        self.most = most
        self.offered = offered

    def retrieve(self, query: Query) -> Rows:
        """Return all listed videos, or nothing."""
        if query.tables.items.n_listed > self.most:
            return NO_ROWS
        rows = query.tables.orders.ever_popular.head(ALL, self.most)
        return best(rows, np.zeros(len(rows)), query.tables.items.hashes.values, self.most)

    def everything(self, query: Query) -> Rows:
        """Return the rows of all listed videos, or as many as may be offered."""
        order, quarter = query.tables.orders.ever_popular, self.offered // 4
        if query.tables.items.n_listed <= self.offered:
            return order.head(ALL, self.offered)
        both, either = self._places(query)
        drawn = [_drawn(query, places, quarter) for places in (both, either, [ANYWHERE])]
        rows = np.concatenate((order.head(ALL, quarter), *drawn))
        return rows[query.tables.videos.distinct(rows)[0]]

    def _places(self, query: Query) -> tuple[list[int], list[int]]:
        """Return the places whose region and language suit the person, and those of which only one does, by name."""
        items = query.tables.items
        region, language = items.regions.find(query.region), items.languages.find(query.language)
        suiting: tuple[list[tuple[str, str, int]], ...] = ([], [], [])
        for (of_region, of_language), place in query.tables.orders.places.items():
            here = query.region is None or of_region in {-1, region}
            understood = query.language is None or of_language in {-1, language}
            name = (_name(items.regions, of_region), _name(items.languages, of_language), place)
            suiting[2 - here - understood].append(name)
        both, either = ([place for _, _, place in sorted(some)] for some in suiting[:2])
        return both, either

    def best(self, query: Query, rows: Rows) -> Rows:
        """Return the most popular of `rows`, at most `most`."""
        return best(rows, query.tables.counters.popular_key.values[rows], query.tables.items.hashes.values, self.most)

    def because(self, query: Query, rows: Sequence[int]) -> list[str]:
        """Say nothing: nothing speaks for them in particular."""
        return [""] * len(rows)


def _drawn(query: Query, places: list[int], most: int) -> Rows:
    """Return a stretch of each place in the order of its hashes, evenly, as far as there are so many; together at most about `most`.

    A place whose videos are all gone has no share, so that what comes does not depend on what was once listed.
    """
    order = query.tables.orders.of_place
    places = [place for place in places if len(order.head(place, 1)) > 0]
    found, missing = [NO_ROWS], most
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        found.append(order.circle(place, 0.0, query.start, -(-missing // left)))
        missing -= len(found[-1])
    return np.concatenate(found)


def _name(codes: Keyed, code: int) -> str:
    return "" if code < 0 else codes.ids[code]
