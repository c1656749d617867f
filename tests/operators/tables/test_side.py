from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.counters import SURFACES
from operators.tables.keyed import Keyed
from operators.tables.moderation import ModerationTable
from operators.tables.vectors import VectorTable
from operators.tables.weights import WeightTable
from operators.windows.decay import N_DECAYED
from schemas.catalog import Moderation
from schemas.codec import decode
from schemas.features import Decayed, EntityCounters, Pane
from schemas.learning import Objective, OnlineWeights
from tests.operators.feed_world import (
    DAY_MS,
    MINUTE,
    NOW_MS,
    counters,
    feed,
    item,
    neighbours,
    record,
    rich_world,
    tables,
    trending,
    vector,
)


def test_rows_outlive_growth_and_keep_what_was_written() -> None:
    keyed = Keyed(capacity=1)
    column = keyed.column(np.int64, width=(2,), fill=-1)
    for i in range(100):
        row = keyed.row(f"id{i}")
        column.values[row] = i
    assert keyed.capacity == 128
    assert column.values[:100, 0].tolist() == list(range(100))
    assert set(column.values[100:128].ravel().tolist()) == {-1}
    assert keyed.names(np.array([3, 1])) == ["id3", "id1"]


def test_rows_stand_where_they_are_among_others_and_an_unknown_one_nowhere() -> None:
    keyed = Keyed(capacity=4)
    rows = np.array([keyed.row(key) for key in "abcd"])
    for members in ([], [3, 1], [2, -1, 3], [0, 1, 2, 3], [-1]):
        places = keyed.places(np.append(rows, -1), np.array(members, dtype=np.intp)).tolist()
        assert places == [members.index(row) if row in members else len(members) for row in range(4)] + [len(members)]
    first, same = keyed.distinct(np.array([3, 1, 3, 0, 1]))
    assert (first.tolist(), same.tolist()) == ([0, 1, 3], [0, 1, 0, 2, 1])


@pytest.mark.parametrize("bad", [0, -1])
def test_a_table_needs_room(bad: int) -> None:
    with pytest.raises(ValueError, match="expected a capacity of at least 1"):
        Keyed(capacity=bad)


def test_a_video_may_be_mentioned_before_the_catalogue_has_it_and_come_back_after_its_deletion() -> None:
    made = tables([neighbours("a", {"b": 0.5})])
    row = made.videos.find("a")
    assert not made.items.listed.values[row]
    feed(made, [item("a", creator_id="c")])
    assert made.items.listed.values[row]
    assert made.orders.of_creator.head(made.creators.find("c"), 9).tolist() == [row]
    feed(made, [("catalog.items", "a", None)])
    assert (made.items.n_listed, made.items.records[row], made.orders.of_creator.head(made.creators.find("c"), 9).tolist()) == (0, None, [])
    feed(made, [item("a", creator_id="d")])
    assert made.items.n_listed == 1
    assert made.orders.of_creator.head(made.creators.find("d"), 9).tolist() == [row]


def test_tombstones_take_effect_on_every_topic() -> None:
    made = tables(rich_world(20))
    row = made.videos.find("v3")
    gone: list[tuple[str, str, bytes | None]] = [
        ("catalog.items", "v3", None),
        ("catalog.vectors", "v3", None),
        ("features.items", "video:v3", None),
        ("features.neighbours", "v3", None),
        ("features.trending", "global", None),
    ]
    feed(made, gone)
    rows = np.array([row])
    assert not made.items.listed.values[row]
    assert made.vectors.offset.values[row] == -1
    assert made.counters.totals.values[row].sum() == 0
    assert made.counters.windows(rows, (30,), NOW_MS).sum() == 0
    assert len(made.neighbours.of(rows).rows) == 0
    assert made.trending.of("global") is None


def test_the_offset_of_each_topic_is_the_next_one() -> None:
    made = tables([item("a"), item("b"), trending("global", ["a"])])
    assert made.offsets == {"catalog.items/0": 2, "features.trending/0": 1}


def test_records_that_do_not_fit_are_counted_and_change_nothing() -> None:
    made = tables([item("a")])
    short = counters("a")[2]
    assert short is not None
    feed(
        made,
        [
            ("catalog.items", "b", b"{"),
            ("catalog.items", "b", b'{"video_id": 3}'),
            ("features.items", "video:a", short.replace(b'"totals":[0,', b'"totals":[')),
            ("control.moderation", "video:a", b"[]"),
        ],
    )
    assert made.rejected == {"catalog.items": 2, "features.items": 1, "control.moderation": 1}
    assert made.items.n_listed == 1


def test_a_catalogue_record_under_another_key_or_with_an_id_of_two_lines_is_left_out() -> None:
    made = tables([("catalog.items", "b", item("a")[2]), item("a\nb"), item("c", duration_ms=2**64 - 1), item("d")])
    assert made.rejected == {"catalog.items": 3}
    assert (made.items.n_listed, made.items.listed.values.sum()) == (1, 1)


def test_surfaces_beyond_the_width_take_no_memory() -> None:
    made = tables([])
    for n in range(3 * SURFACES):
        entity = decode(EntityCounters, counters("a")[2] or b"")
        decayed = Decayed(NOW_MS, [1.0] * N_DECAYED)
        made.counters.upsert(msgspec.structs.replace(entity, decayed=decayed, surfaces={f"s{n}": 2.0}))
    assert len(made.counters.surfaces) == SURFACES
    assert made.counters.surface(f"s{SURFACES}") == -1


def test_a_list_of_neighbours_waits_until_it_is_looked_at_and_only_the_newest_counts() -> None:
    made = tables([item("a"), neighbours("a", {"b": 0.5}), neighbours("a", {"c": 0.25, "d": 0.125}), neighbours("e", {"a": 1.0})])
    rows = np.array([made.videos.find("a"), made.videos.find("e")])
    assert made.videos.find("b") == made.videos.find("c") == -1
    joined = made.neighbours.of(rows)
    assert made.videos.names(joined.rows) == ["c", "d", "a"]
    assert (joined.weights.tolist(), joined.places.tolist()) == ([0.25, 0.125, 1.0], [0, 0, 1])
    assert made.videos.find("b") == -1
    feed(made, [neighbours("a", {"f": 0.5}), ("features.neighbours", "a", b"nonsense")])
    assert made.rejected == {"features.neighbours": 1}
    assert made.videos.names(made.neighbours.of(rows).rows) == ["f", "a"]


def test_windows_hold_the_minutes_that_they_say() -> None:
    # minute:      -31 -30 -29  ...  -5  -4  ...  0  +1
    # 30 minutes:            [---------------------]
    # 5 minutes:                         [---------]
    ages = (31, 30, 29, 5, 4, 0, -1)
    for age in ages:
        made = tables([counters("a", panes=[Pane(minute=MINUTE - age, counts=[1] * 14)])])
        five, thirty = made.counters.windows(np.array([0]), (5, 30), NOW_MS)[:, 0, 0].tolist()
        assert (five, thirty) == (float(0 <= age < 5), float(0 <= age < 30)), age


def test_decayed_sums_halve_and_never_grow() -> None:
    made = tables([counters("a", decayed=8.0, surfaces={"1": 8.0})])
    rows = np.array([0])
    one_day = made.counters
    assert one_day.decayed_at(rows, 2, NOW_MS + DAY_MS)[0] == 4.0
    assert one_day.decayed_at(rows, 2, 0)[0] == 8.0
    surface = one_day.on_surface(rows, "1", NOW_MS + DAY_MS)
    assert surface is not None
    assert surface[0] == pytest.approx(4.0)
    earlier = one_day.on_surface(rows, "1", 0)
    assert earlier is not None
    assert earlier[0] == pytest.approx(8.0)
    assert one_day.on_surface(rows, "9", NOW_MS) is None


def test_the_popular_key_orders_by_what_is_left_today() -> None:
    made = tables([counters("a", decayed=8.0), counters("b", decayed=0.0), counters("c", decayed=16.0)])
    assert np.argsort(-made.counters.popular_key.values[:3]).tolist() == [2, 0, 1]


def test_weights_of_another_feature_set_or_size_are_left_out() -> None:
    table = WeightTable(model="online", feature_set=FEATURE_SET, n_features=N_FEATURES)

    def weights(version: int, **other: object) -> OnlineWeights:
        fields = {"model": "online", "feature_set": FEATURE_SET, "heads": {"taken": np.ones(N_FEATURES + 1, np.float32).tobytes()}} | other
        return OnlineWeights(version=version, updated_ms=NOW_MS, examples=1, **fields)  # type: ignore[arg-type]

    table.apply(weights(1))
    table.apply(weights(2, feature_set="other"))
    table.apply(weights(3, heads={"taken": b"1234"}))
    table.apply(weights(4, model="another"))
    table.apply(weights(5, heads={"taken": np.full(N_FEATURES + 1, np.nan, np.float32).tobytes()}))
    assert (table.version, table.unfit, table.heads["taken"].sum()) == (1, 3, N_FEATURES + 1)
    table.delete("online")
    assert (table.version, table.heads) == (0, {})


def test_the_objective_comes_and_goes() -> None:
    made = tables([record("control.objective", "feed", Objective(version="2", heads={"like": 1.0}, exploration_rate=0.5))])
    assert made.objective.current.version == "2"
    feed(made, [("control.objective", "feed", None)])
    assert made.objective.current == INITIAL_OBJECTIVE


def test_a_verdict_on_a_video_that_makes_the_table_grow_is_kept() -> None:
    videos = Keyed(capacity=1)
    table = ModerationTable(videos=videos, creators=Keyed(capacity=1))
    for name in ("a", "b", "c"):
        table.apply(Moderation(kind="video", id=name, blocked=True, at_ms=1))
    assert table.video.values[:3].all()


def test_a_video_that_a_trending_list_repeats_stands_there_once() -> None:
    made = tables([trending("global", ["a", "b", "a"])])
    known = made.trending.of("global")
    assert known is not None
    assert (made.videos.names(known[0]), known[1].tolist()) == (["a", "b"], [3.0, 2.0])


def test_verdicts_are_taken_back_by_a_message_or_a_tombstone() -> None:
    videos, creators = Keyed(), Keyed()
    table = ModerationTable(videos=videos, creators=creators)
    for kind in ("video", "creator"):
        table.apply(Moderation(kind=kind, id="x", blocked=True, at_ms=1))
    assert table.video.values[0] and table.creator.values[0]
    table.apply(Moderation(kind="video", id="x", blocked=False, at_ms=2))
    table.delete("creator:x")
    assert not table.video.values[0] and not table.creator.values[0]
    table.delete("video:unknown")


def test_vectors_of_another_size_are_left_out() -> None:
    made = tables([vector("a", 1, 2), vector("b", 1, dim=32)])
    assert (made.vectors.wrong_size, made.vectors.offset.values[made.videos.find("a")], made.videos.find("b")) == (1, 0, -1)
    with pytest.raises(ValueError, match="expected 1 to 1,040 dimensions"):
        VectorTable(videos=Keyed(), dim=2_000)


def test_side_records_are_applied_fast_enough_for_thousands_a_second() -> None:
    records = rich_world(500)
    started = time.process_time()
    tables(records)
    assert (time.process_time() - started) / len(records) < 200e-6
