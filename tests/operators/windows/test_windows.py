"""Windows against the plainest recount, in every order and cut of the events."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.examples import T0_MS, event, traffic
from operators.windows.counting import increments
from operators.windows.decay import DAY_MS, DECAYED, HALF_LIVES_MS, HOUR_MS, DecayedTable, index_of, value_at
from operators.windows.entities import EntityWindows
from operators.windows.panes import PaneTable
from schemas.features import MAX_SURFACES, N_COUNTERS, PANES, Counter, EntityCounters
from schemas.telemetry import Context, Event, InteractionType
from serving.recount import Recount

# (row, minute, counter, amount): minutes are drawn so that many are late
ADDS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100), st.integers(0, N_COUNTERS - 1), st.integers(1, 5)), max_size=60)


def add(table: PaneTable, adds: list[tuple[int, int, int, int]]) -> None:
    columns = np.array(adds, dtype=np.int64).reshape(-1, 4)
    table.add(columns[:, 0], columns[:, 1], np.arange(len(adds)), columns[:, 2], columns[:, 3])


def values(windows: EntityWindows) -> dict[str, EntityCounters]:
    return {f"{one.kind}:{one.id}": one for one in windows.on_time(0)}


@given(ADDS, st.integers(1, 60))
def test_panes_are_what_a_plain_count_gives_however_the_events_are_cut(adds: list[tuple[int, int, int, int]], size: int) -> None:
    table = PaneTable(capacity=4)
    for start in range(0, len(adds), size):
        add(table, adds[start : start + size])
    newest: dict[int, int] = {}
    late = [0] * 4
    for row, minute, _, _ in adds:
        late[row] += minute <= newest.get(row, -PANES) - PANES
        newest[row] = max(newest.get(row, 0), minute)
    totals = np.zeros((4, N_COUNTERS), dtype=np.int64)
    panes: dict[tuple[int, int], list[int]] = {}
    for row, minute, counter, amount in adds:
        totals[row, counter] += amount
        if minute > newest[row] - PANES:
            panes.setdefault((row, minute), [0] * N_COUNTERS)[counter] += amount
    assert (table.totals == totals).all()
    assert table.late.tolist() == late
    got = {(row, pane.minute): pane.counts for row, of_row in enumerate(table.panes_of(np.arange(4))) for pane in of_row}
    assert got == panes


@given(ADDS, st.randoms())
def test_panes_and_totals_do_not_depend_on_the_order_of_arrival(adds: list[tuple[int, int, int, int]], random: Random) -> None:
    tables = []
    for _ in range(2):
        tables.append(PaneTable(capacity=4))
        add(tables[-1], adds)
        random.shuffle(adds)
    rows = np.arange(4)
    assert tables[0].panes_of(rows) == tables[1].panes_of(rows)
    assert (tables[0].totals == tables[1].totals).all()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10 * DAY_MS)), max_size=40), st.integers(1, 40))
def test_decayed_sums_are_the_same_bits_however_the_events_are_cut(events: list[tuple[int, int]], size: int) -> None:
    def run(step: int) -> tuple[np.ndarray, np.ndarray]:
        table = DecayedTable(half_lives_ms=HALF_LIVES_MS, capacity=3)
        latest = np.zeros(3, dtype=np.int64)
        for start in range(0, len(events), step):
            rows, at_ms = np.array(events[start : start + step], dtype=np.int64).T
            touched = np.unique(rows)
            was = latest[touched]
            np.maximum.at(latest, rows, at_ms)
            table.move(touched, was, latest[touched])
            for column in range(len(DECAYED)):
                table.add(rows, np.full(len(rows), column), at_ms, latest[rows], np.ones(len(rows), dtype=np.int64))
        return table.values(np.arange(3), latest), latest

    got, latest = run(size)
    assert (got == run(1)[0]).all()
    for row in range(3):
        ages_ms = latest[row] - np.array([at_ms for one, at_ms in events if one == row])
        expected = [np.exp2(-ages_ms / one.half_life_ms).sum() for one in DECAYED]
        assert np.allclose(got[row], expected, rtol=1e-12)


def test_a_decayed_value_halves_in_its_half_life_and_is_not_raised_by_an_older_now() -> None:
    values = np.full((1, len(DECAYED)), 8.0)
    at = index_of(Counter.IMPRESSIONS, HOUR_MS)
    assert value_at(values, np.array([T0_MS]), T0_MS + HOUR_MS)[0, at] == 4.0
    assert value_at(values, np.array([T0_MS]), T0_MS - HOUR_MS)[0, at] == 8.0


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_entities_are_what_a_recount_gives(seed: int, late_share: float) -> None:
    events = traffic(seed, 80, late_share=late_share)
    windows, recount = EntityWindows(), Recount()
    windows.on_batch(events)
    for one in events:
        recount.add(one)
    got = values(windows)
    for entity in recount.counts:
        if not entity.startswith("user:"):
            assert list(recount.compare(entity, got[entity].totals, got[entity].panes)) == []


@given(st.integers(0, 10_000))
def test_two_orders_of_the_same_events_give_the_same_counters(seed: int) -> None:
    events = traffic(seed, 60)
    shuffled = Random(seed).sample(events, len(events))
    both = []
    for order in (events, shuffled):
        windows = EntityWindows()
        windows.on_batch(order)
        both.append({key: (one.totals, one.panes, one.version, one.updated_ms) for key, one in values(windows).items()})
    assert both[0] == both[1]


def test_decayed_sums_and_surfaces_are_as_of_the_latest_event() -> None:
    # impressions of v:  t0 on "1" ── 24 h ── on "1", on "0"
    windows = EntityWindows()
    for n, (age_h, surface) in enumerate(((0, "1"), (24, "1"), (24, "0"))):
        windows.on_event(event(n, video_id="v", timestamp_ms=T0_MS + age_h * HOUR_MS, context=Context(surface=surface)))
    (video,) = windows.on_time(0)
    assert video.decayed is not None
    assert video.decayed.at_ms == T0_MS + DAY_MS
    assert video.decayed.values[index_of(Counter.IMPRESSIONS, DAY_MS)] == pytest.approx(2.5)
    assert video.surfaces == pytest.approx({"1": 1.5, "0": 1.0})


def test_surfaces_beyond_the_most_fold_into_the_nameless_one_and_none_is_lost() -> None:
    windows = EntityWindows()
    names = [f"s{n}" for n in range(MAX_SURFACES + 5)]
    for n, name in enumerate(names):
        for _ in range(n + 1):
            windows.on_event(event(0, video_id="v", timestamp_ms=T0_MS, context=Context(surface=name)))
    (video,) = windows.on_time(0)
    assert len(video.surfaces) == MAX_SURFACES
    assert sum(video.surfaces.values()) == pytest.approx(sum(range(1, len(names) + 1)))
    assert video.surfaces[names[-1]] == pytest.approx(len(names))


def test_a_tag_that_is_named_twice_counts_once() -> None:
    windows = EntityWindows()
    windows.on_event(event(1, video_id="v", tags=("a", "a")))
    assert {one.id: one.totals[0] for one in windows.on_time(0)} == {"v": 1, "a": 1}


def test_entities_beyond_the_most_are_forgotten_counted_and_begin_anew_with_a_higher_version() -> None:
    windows = EntityWindows(max_entities=4)
    for n in range(4):
        windows.on_event(event(n, video_id=f"v{n}"))
    windows.on_event(event(9, video_id="v0", timestamp_ms=T0_MS))
    first = values(windows)
    assert windows.forgotten == 0
    windows.on_event(event(10, video_id="new"))
    assert windows.forgotten == 1
    windows.on_event(event(11, video_id="v1"))
    back = values(windows)["video:v1"]
    assert back.totals[0] == 1 or back.version == 2
    assert back.version >= first["video:v0"].version


def test_milestones_count_for_nothing_but_are_events_of_the_entity() -> None:
    windows = EntityWindows()
    windows.on_event(event(1, InteractionType.WATCH_50, video_id="v"))
    (video,) = windows.on_time(0)
    assert (video.version, video.totals, video.panes) == (1, [0] * N_COUNTERS, [])


def test_each_watch_adds_its_time_and_its_share() -> None:
    def watched(value: float | None, duration_ms: int | None, completed: bool | None = None) -> dict[str, int]:
        one: Event = event(1, InteractionType.WATCH_TIME, value=value, duration_ms=duration_ms, completed=completed)
        return {counter.name: n for counter, n in increments(one)}

    assert watched(5.0, 20_000) == {"WATCHES": 1, "WATCH_MS": 5_000, "COMPLETION_PERMILLE": 250}
    assert watched(50.0, 20_000) == {"WATCHES": 1, "WATCH_MS": 50_000, "COMPLETION_PERMILLE": 1_000}
    assert watched(5.0, None) == {"WATCHES": 1, "WATCH_MS": 5_000, "COMPLETION_PERMILLE": 0}
    assert watched(5.0, 0, completed=True) == {"WATCHES": 1, "WATCH_MS": 5_000, "COMPLETION_PERMILLE": 1_000}
    assert watched(None, 20_000) == {"WATCHES": 1, "WATCH_MS": 0, "COMPLETION_PERMILLE": 0}
    assert watched(1e12, 20_000)["WATCH_MS"] == 86_400_000
