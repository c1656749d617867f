"""However two topics interleave, and wherever a join crashes, the examples are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from operators.joins.inputs import Happened, Input, Reached, Served, sample
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from schemas.learning import LabelledExample

SECRET = b"0123456789abcdef"
END = Reached(events_ms=10_000_000, served_ms=10_000_000)


def make(pages: MemoryPages) -> ServedOutcomes:
    return ServedOutcomes(secret=SECRET, pages=pages)


def run(*life: Input) -> list[LabelledExample]:
    return make(MemoryPages()).on_batch(life)


def shuffles(left: Sequence[Input], right: Sequence[Input]) -> st.SearchStrategy[list[Input]]:
    """Every way to read two topics, each in its own order."""
    return st.permutations([0] * len(left) + [1] * len(right)).map(lambda turns: _merge(turns, left, right))


def _merge(turns: Iterable[int], left: Sequence[Input], right: Sequence[Input]) -> list[Input]:
    sides = (iter(left), iter(right))
    return [next(sides[turn]) for turn in turns]


LIFE = sample(SECRET)
EVENTS = [one for one in LIFE if isinstance(one, Happened)]
PAGES = [one for one in LIFE if isinstance(one, Served)]


@given(shuffles(EVENTS, PAGES))
def test_the_examples_do_not_depend_on_how_the_two_topics_interleave(life: list[Input]) -> None:
    expected = {one.example_id: one for one in run(*_merge([1] * len(PAGES) + [0] * len(EVENTS), EVENTS, PAGES), END)}
    got = run(*life, END)
    assert {one.example_id: one for one in got} == expected
    assert len(got) == len(expected) > 0


@given(st.data())
def test_a_crash_at_any_point_changes_nothing(data: st.DataObject) -> None:
    pages = MemoryPages()
    join = make(pages)
    expected = run(*LIFE, END)
    at = data.draw(st.integers(0, len(LIFE)))
    out = join.on_batch(LIFE[:at])
    other = make(pages)
    other.restore(join.snapshot())
    out += other.on_batch([*LIFE[at:], END])
    assert out == expected
