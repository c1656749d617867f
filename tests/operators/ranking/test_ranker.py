from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.ranking.features import FEATURE_SET, FEATURES, INITIAL, N_FEATURES, NAMES, FeatureTable
from operators.ranking.linear import OnlineRanker
from operators.ranking.order import by_score
from schemas.features import Counter, Pane, TagInterest, Taken
from schemas.learning import Objective, OnlineWeights
from schemas.telemetry import Context
from tests.operators.feed_world import (
    NOW_MS,
    Record,
    ask,
    counters,
    item,
    neighbours,
    record,
    rich_person,
    rich_world,
    state,
    tables,
    taken,
)


def values_of(records: list[Record], name: str, **asked: object) -> dict[str, float]:
    """A feature of every video."""
    made = tables(records)
    query = ask(made, **asked)  # type: ignore[arg-type]
    rows = np.flatnonzero(made.items.listed.values)
    return dict(zip(made.videos.names(rows), FeatureTable().hydrate(query, rows)[NAMES.index(name)].tolist(), strict=True))


def test_the_last_minutes_of_a_person_speak_for_and_against_tags_and_categories() -> None:
    records = [item(name, tags=(f"t{name}",), category=f"k{name}") for name in "abcd"]
    counts = [0] * 14
    taken_to, passed = counts.copy(), counts.copy()
    taken_to[Counter.LIKES], passed[Counter.SKIPS] = 2, 3
    now = NOW_MS // 60_000
    person = state(
        tags={
            "ta": TagInterest(0.0, NOW_MS, counts, [Pane(now - 40, taken_to), Pane(now - 2, taken_to)]),
            "tb": TagInterest(0.0, NOW_MS, counts, [Pane(now - 29, taken_to), Pane(now - 5, passed)]),
            "tc": TagInterest(0.0, NOW_MS, counts, [Pane(now - 30, taken_to)]),
        },
        panes=[Pane(now - 30, taken_to), Pane(now - 2, taken_to), Pane(now, passed)],
        recent=[
            Taken("b", 0.0, NOW_MS - 2_000),
            Taken("c", 0.05, NOW_MS - 1_500),
            Taken("d", 0.9, NOW_MS - 3_600_000),
            Taken("a", 0.4, NOW_MS),
        ],
        positives=taken(["a"]),
    )
    expected = {
        "tag_taken_5m": {"a": np.log(3)},
        "tag_taken_30m": {"a": np.log(3), "b": np.log(3)},
        "tag_passed_30m": {"b": np.log(4)},
        "category_taken": {"a": np.log(2)},
        "category_watched": {"a": np.log(2), "d": np.log(1.95)},
        "category_passed": {"b": np.log(2)},
        "category_watched_30m": {"a": 1 / 3},
    }
    for name, values in expected.items():
        assert values_of(records, name, person=person) == pytest.approx(dict.fromkeys("abcd", 0.0) | values), name
    assert values_of(records, "person_taken_30m", person=person) == pytest.approx(dict.fromkeys("abcd", 3.5 / 5))
    assert values_of(records, "person_passed_30m", person=person) == pytest.approx(dict.fromkeys("abcd", 4.5 / 5))


def test_names_are_unique_and_the_version_follows_the_formulas() -> None:
    assert len(set(NAMES)) == N_FEATURES
    assert FEATURE_SET.startswith("v1-")
    assert all(feature.formula for feature in FEATURES)


def test_the_prior_is_the_one_that_was_found_on_the_real_log() -> None:
    weights = dict(zip(NAMES, INITIAL["taken"][:-1].tolist(), strict=True))
    assert weights["co_watched"] == pytest.approx(3.5)
    assert weights["surface_impressions_24h"] == pytest.approx(0.6)
    assert weights["impressions_1h"] == pytest.approx(0.4)
    assert weights["long_view_rate_96h"] == pytest.approx(1.4)


def test_co_watched_counts_the_newest_most() -> None:
    records = [item("a"), item("b"), neighbours("x", {"a": 0.1}), neighbours("y", {"a": 0.2})]
    got = values_of(records, "co_watched", person=state(recent=taken(["x", "y"])))
    assert got == pytest.approx({"a": np.log(0.2 + 0.95 * 0.1 + 0.0005), "b": np.log(0.0005)})


def test_surface_impressions_are_those_of_the_surface_or_of_all() -> None:
    records = [item("a"), counters("a", decayed=7.0, surfaces={"1": 3.0})]
    assert values_of(records, "surface_impressions_24h", context=Context(surface="1")) == pytest.approx({"a": np.log(3.2)})
    assert values_of(records, "surface_impressions_24h", context=Context(surface="2")) == pytest.approx({"a": np.log(0.2)})
    assert values_of(records, "surface_impressions_24h") == pytest.approx({"a": np.log(7.2)})


def test_a_like_moves_taste_tags_and_creator() -> None:
    world = rich_world(40)
    person = rich_person()
    for name in ("taste", "tag_interest", "creator_taken"):
        before, after = values_of(world, name), values_of(world, name, person=person)
        assert max(before.values()) == 0
        assert max(after.values()) > 0, name


@pytest.mark.parametrize("person", [None, rich_person()])
def test_every_feature_is_finite_in_an_empty_and_in_a_rich_world(person: object) -> None:
    for records in ([item("a")], rich_world(60)):
        made = tables(records)
        query = ask(made, person, context=Context(surface="1", region="DE"))  # type: ignore[arg-type]
        values = FeatureTable().hydrate(query, np.flatnonzero(made.items.listed.values))
        assert values.dtype == np.float32
        assert np.isfinite(values).all()


def test_scores_and_features_have_the_same_bits_whoever_stands_beside() -> None:
    made = tables(rich_world(150))
    query = ask(made, rich_person(), context=Context(surface="1"))
    rows = np.flatnonzero(made.items.listed.values)
    ranker, table = OnlineRanker(initial=INITIAL), FeatureTable()
    values = table.hydrate(query, rows)
    scores, heads = ranker.score(query, values), ranker.predict(query, values)
    rng = np.random.default_rng(5)
    for n in (1, 2, 3, 7, 16, 33, 149, 150):
        some = rng.permutation(len(rows))[:n]
        fresh = ask(made, rich_person(), context=Context(surface="1"))
        again = table.hydrate(fresh, rows[some])
        assert again.tobytes() == np.ascontiguousarray(values[:, some]).tobytes()
        assert ranker.score(fresh, again).tobytes() == scores[some].tobytes()
        assert ranker.predict(fresh, again).tobytes() == np.ascontiguousarray(heads[:, some]).tobytes()


def test_a_head_tells_the_probability_that_its_learned_weights_say() -> None:
    weights = np.zeros(N_FEATURES + 1, np.float32)
    weights[NAMES.index("age")], weights[-1] = 0.5, -1.0
    message = OnlineWeights(
        model="online", version=1, feature_set=FEATURE_SET, updated_ms=NOW_MS, examples=1, heads={"negative": weights.tobytes()}
    )
    made = tables([item("a"), item("b"), record("models.online", "online", message)])
    values = np.zeros((N_FEATURES, 3), dtype=np.float32)
    values[NAMES.index("age")] = [0.0, 2.0, 1e9]
    ranker = OnlineRanker(initial=INITIAL)
    heads = dict(zip(ranker.heads, ranker.predict(ask(made), values).tolist(), strict=True))
    assert heads["negative"] == pytest.approx([1 / (1 + math.e), 0.5, 1.0])
    assert heads["click"] == pytest.approx([0.5, 0.5, 0.5])
    assert "taken" not in heads


def test_online_weights_add_to_the_initial_ones_by_the_objective() -> None:
    heads = {"taken": np.full(N_FEATURES + 1, 0.5, np.float32).tobytes(), "like": np.ones(N_FEATURES + 1, np.float32).tobytes()}
    weights = OnlineWeights(model="online", version=1, feature_set=FEATURE_SET, updated_ms=NOW_MS, examples=1, heads=heads)
    objective = Objective(version="1", heads={"taken": 2.0, "like": -1.0, "nobody": 5.0})
    made = tables([record("models.online", "online", weights), record("control.objective", "feed", objective)])
    folded = OnlineRanker(initial=INITIAL).weights(ask(made))
    assert folded.tolist() == pytest.approx((2.0 * (INITIAL["taken"].astype(float) + 0.5) - (INITIAL["like"].astype(float) + 1.0)).tolist())


@given(st.lists(st.sampled_from([-2.5, 0.0, 1.0, 1.5, math.nan, math.inf, -math.inf]), max_size=40), st.randoms(use_true_random=False))
def test_the_order_is_that_of_a_plain_sort(scores: list[float], random: Random) -> None:
    ids = [f"v{i}" for i in range(len(scores))]
    random.shuffle(ids)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i] if math.isfinite(scores[i]) else math.inf, ids[i]))
    assert by_score(np.array(scores, dtype=np.float32), ids.__getitem__).tolist() == expected


def test_what_is_not_finite_sinks_and_ties_go_by_id() -> None:
    scores = np.array([np.nan, 1.0, np.inf, 1.0, 2.0, -np.inf, 1.0], dtype=np.float32)
    ids = ["a", "z", "b", "y", "c", "d", "x"]
    assert [ids[i] for i in by_score(scores, ids.__getitem__)] == ["c", "x", "y", "z", "a", "b", "d"]
    assert by_score(np.empty(0, np.float32), ids.__getitem__).tolist() == []
