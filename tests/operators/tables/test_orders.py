from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.tables.keyed import Keyed
from operators.tables.orders import ALL, ANYWHERE
from operators.tables.side import SideTables
from schemas.features import Counter
from tests.operators.feed_world import NOW_MS, Record, counters, feed, item, neighbours, rich_world, tables, trending, vector

_ids = st.integers(0, 9).map("v{}".format)
_records = st.one_of(
    st.builds(
        lambda name, creator, category, uploaded_ms, region: item(
            name, creator_id=creator, category=category, uploaded_ms=uploaded_ms, region=region
        ),
        _ids,
        st.sampled_from([None, "c0", "c1"]),
        st.sampled_from([None, "k0", "k1"]),
        st.sampled_from([None, NOW_MS - 1, NOW_MS, NOW_MS + 1]),
        st.sampled_from([None, "DE", "FR"]),
    ),
    st.builds(
        lambda name, total, decayed, surfaces: counters(name, total=total, decayed=decayed, surfaces=surfaces),
        _ids,
        st.sampled_from([0, 1, 999, 1_000]),
        st.sampled_from([0.0, 1.0, 7.5]),
        st.dictionaries(st.sampled_from(["0", "1"]), st.sampled_from([0.0, 1.0, 3.0])),
    ),
    _ids.map(lambda name: ("catalog.items", name, None)),
    _ids.map(lambda name: ("features.items", f"video:{name}", None)),
)


def by_scan(made: SideTables) -> dict[object, list[int]]:
    """The orders as a look at all rows gives them."""
    items, counts = made.items, made.counters
    listed = np.flatnonzero(items.listed.values[: len(made.videos)])

    def ordered(rows: np.ndarray, keys: np.ndarray) -> list[int]:
        return rows[np.lexsort((items.hashes.values[rows], -keys[rows]))].tolist()  # type: ignore[no-any-return]

    found: dict[object, list[int]] = {
        "popular": ordered(listed[counts.popular_key.values[listed] > -np.inf], counts.popular_key.values),
        "ever": ordered(listed, counts.popularity.values),
        "newest": ordered(listed[items.uploaded_ms.values[listed] >= 0], items.uploaded_ms.values),
        "little": ordered(listed[counts.totals.values[listed, Counter.IMPRESSIONS] < 1_000], np.zeros(made.videos.capacity)),
        "anywhere": ordered(listed, np.zeros(made.videos.capacity)),
    }
    for name, code in made.items.categories.rows.items():
        found["category", name] = ordered(listed[items.category.values[listed] == code], counts.popularity.values)
    for name, code in made.creators.rows.items():
        found["creator", name] = ordered(listed[items.creator.values[listed] == code], items.uploaded_ms.values)
    for name, code in counts.surfaces.rows.items():
        keys = counts.surface_keys.values[:, code]
        found["surface", name] = ordered(listed[keys[listed] > -np.inf], keys)
    for (region, language), place in made.orders.places.items():
        here = (items.region.values[listed] == region) & (items.language.values[listed] == language)
        found["place", place] = ordered(listed[here], np.zeros(made.videos.capacity))
    return found


def kept(made: SideTables) -> dict[object, list[int]]:
    """The orders as they are kept."""
    orders, most = made.orders, 10_000
    found: dict[object, list[int]] = {
        "popular": orders.popular.head(ALL, most).tolist(),
        "ever": orders.ever_popular.head(ALL, most).tolist(),
        "newest": orders.newest.head(ALL, most).tolist(),
        "little": orders.little_known.head(ALL, most).tolist(),
        "anywhere": orders.of_place.head(ANYWHERE, most).tolist(),
    }
    for name, code in made.items.categories.rows.items():
        found["category", name] = orders.of_category.head(code, most).tolist()
    for name, code in made.creators.rows.items():
        found["creator", name] = orders.of_creator.head(code, most).tolist()
    for name, code in made.counters.surfaces.rows.items():
        found["surface", name] = orders.on_surface.head(code, most).tolist()
    for place in orders.places.values():
        found["place", place] = orders.of_place.head(place, most).tolist()
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(_records, max_size=40))
def test_orders_are_what_a_look_at_all_rows_would_give_after_any_records(records: list[Record]) -> None:
    made = tables(records)
    assert kept(made) == by_scan(made)


def test_orders_hold_for_thousands_in_any_order_of_records() -> None:
    records = rich_world(2_500)
    one, other = tables(records), tables(list(reversed(records)))
    assert kept(one) == by_scan(one)
    assert one.videos.names(np.array(kept(one)["popular"])) == other.videos.names(np.array(kept(other)["popular"]))
    feed(one, [("catalog.items", f"v{i}", None) for i in range(0, 2_500, 3)])
    assert kept(one) == by_scan(one)


def test_rows_that_nobody_holds_are_given_back_and_used_again() -> None:
    keyed = Keyed(capacity=4, most_loose=10)
    column = keyed.column(np.int64, fill=-1)
    held = keyed.row("held")
    keyed.hold(held)
    column.values[held] = 7
    gone: list[int] = []
    keyed.when_given_back(gone.extend)
    for n in range(100_000):
        column.values[keyed.row(f"id{n}")] = n
        keyed.trim()
    assert len(keyed) < 1_100
    assert (keyed.find("held"), column.values[held]) == (held, 7)
    assert keyed.find("id0") == -1
    last = keyed.find("id99999")
    assert (column.values[last], keyed.ids[last]) == (99_999, "id99999")
    assert held not in gone
    assert len(keyed.rows) <= 11
    keyed.let_go(held)
    assert set(column.values[[row for row in range(len(keyed)) if keyed.ids[row] == ""]].tolist()) == {-1}


def test_who_kept_a_row_that_was_given_back_no_longer_finds_it() -> None:
    made = tables([item("a"), neighbours("a", {"x": 0.5, "b": 0.25}), trending("global", ["x", "b"]), item("b"), vector("x", 1)])
    row = made.videos.find("a")
    assert made.videos.names(made.neighbours.of(np.array([row])).rows) == ["x", "b"]
    was = made.videos.find("x")
    made.videos.most_loose = 0
    made.videos.trim()
    assert made.videos.find("x") == -1
    assert made.videos.row("y") == was
    found = made.trending.of("global")
    assert found is not None
    assert made.videos.names(found[0]) == ["b"]
    assert made.videos.names(made.neighbours.of(np.array([row])).rows) == ["b"]
    assert made.vectors.fresh(0, 9).tolist() == []


def test_ids_that_nobody_listed_take_bounded_memory_and_those_that_are_listed_or_blocked_stay() -> None:
    made = tables([item("mine", creator_id="c", tags=("t",)), counters("mine", total=5), counters("t", kind="tag", total=3)])
    for keyed in (made.videos, made.creators, made.tags):
        keyed.most_loose = 50
    for n in range(6_000):
        feed(made, [counters(f"fake{n}", total=1), counters(f"fake{n}", kind="tag"), counters(f"fake{n}", kind="creator")])
        feed(made, [item(f"gone{n}", creator_id=f"g{n}", tags=(f"g{n}",)), ("catalog.items", f"gone{n}", None)])
    assert max(len(keyed) for keyed in (made.videos, made.creators, made.tags)) < 1_300
    assert made.counters.totals.values[made.videos.find("mine"), 0] == 5
    assert made.tag_counters.totals.values[made.tags.find("t"), 0] == 3
    assert kept(made) == by_scan(made)
