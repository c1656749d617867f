from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.tables import ordered
from operators.tables.ordered import Ordered

Entry = tuple[int, float, int, int]

_changes = st.lists(
    st.tuples(st.integers(-1, 2), st.sampled_from([-np.inf, -1.0, 0.0, 2.5, 1e300]), st.integers(0, 3), st.integers(0, 29)), max_size=150
)


@pytest.fixture(autouse=True, scope="module")
def blocks_are_small() -> object:
    """Few entries fill many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_MOST", 8)
        yield patch


def filled(changes: list[Entry]) -> tuple[Ordered, list[Entry]]:
    """An order after changes (a row that is put in again moves, or goes if nothing changed), and what must be in it."""
    order, held = Ordered(), dict[int, Entry]()
    for group, key, tie, row in changes:
        old, new = held.pop(row, None), (group, key, tie, row)
        if old is not None and (old[0], old[2]) == (group, tie) and old != new:
            order.move(group, old[1], key, tie, row)
            held[row] = new
            continue
        if old is not None:
            order.remove(*old)
        if old != new:
            held[row] = new
            order.add(*new)
    return order, sorted(held.values(), key=lambda entry: (entry[0], -entry[1], entry[2]))


def same(rows: list[int], entries: list[Entry]) -> bool:
    """Whether rows are those of the entries, in order but for those that are equal in all."""
    by_row = {entry[3]: entry[:3] for entry in entries}
    return len(set(rows)) == len(rows) and [by_row.get(row) for row in rows] == [entry[:3] for entry in entries]


@settings(max_examples=300, deadline=None)
@given(changes=_changes, group=st.integers(-1, 2), most=st.integers(0, 40))
def test_the_head_of_a_group_is_that_of_everything_sorted(changes: list[Entry], group: int, most: int) -> None:
    order, held = filled(changes)
    mine = [entry for entry in held if entry[0] == group]
    assert len(order) == len(held)
    assert same(order.head(group, 1_000).tolist(), mine)
    got = order.head(group, most).tolist()
    assert [held_key for held_key in (entry[1:3] for entry in mine[:most])] == [
        next(entry[1:3] for entry in mine if entry[3] == row) for row in got
    ]
    assert same(order.head(group, 1_000, above=-1.0, until=2.5).tolist(), [entry for entry in mine if -1.0 < entry[1] <= 2.5])


@settings(max_examples=300, deadline=None)
@given(changes=_changes, tie=st.integers(0, 4), most=st.integers(0, 40))
def test_a_circle_goes_once_around_the_equal_ones(changes: list[Entry], tie: int, most: int) -> None:
    order, held = filled(changes)
    level = [entry for entry in held if entry[:2] == (0, 0.0)]
    turned = [entry for entry in level if entry[2] >= tie] + [entry for entry in level if entry[2] < tie]
    got = order.circle(0, 0.0, tie, most).tolist()
    ties = {entry[3]: entry[2] for entry in level}
    assert len(set(got)) == len(got)
    assert [ties[row] for row in got] == [entry[2] for entry in turned[:most]]


@given(st.permutations(range(200)))
def test_what_is_taken_out_again_leaves_nothing_behind(rows: list[int]) -> None:
    order = Ordered()
    for row in range(200):
        order.add(0, float(row % 7), row, row)
    for row in rows:
        order.remove(0, float(row % 7), row, row)
    assert (len(order), order._blocks, order._lasts) == (0, [], [])
