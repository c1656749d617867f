from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from operators.learners.choices import PASSED_OVER, example, sample
from operators.learners.online_ranking import OnlineRanking
from schemas.learning import LabelledExample, LearningMetrics, OnlineWeights

INITIAL = {"taken": np.array([1.0, -0.5, 0.25], dtype=np.float32)}


def make(**settings: object) -> OnlineRanking:
    given: dict[str, object] = {"feature_set": "small", "names": ("a", "b"), "initial": INITIAL, "warm_up": 4, **settings}
    return OnlineRanking(**given)  # type: ignore[arg-type]  # passed on as they are


def life(n: int) -> list[LabelledExample]:
    """People who take what has more of feature a, and like what has more of b."""
    rng = np.random.default_rng(9)
    out = []
    for i in range(n):
        rows = rng.normal(size=(6, 2)) * [1.0, 10.0] + [5.0, -3.0]
        best = int(np.argmax(2 * rows[:, 0] + rng.gumbel(size=6)))
        others = [k for k in range(6) if k != best]
        out += [example(f"r{i}/v{PASSED_OVER}w{k}", rows[k].tolist(), {"taken": 0}) for k in others]
        labels = {"click": 1, "like": int(rows[best, 1] > -3.0), "taken": 1}
        out.append(example(f"r{i}/v", rows[best].tolist(), labels))
    return out


def heads(model: OnlineRanking) -> dict[str, NDArray[np.float32]]:
    return {head: np.frombuffer(data, dtype=np.float32) for head, data in model.weights(0).heads.items()}


def test_weights_go_out_when_they_changed_and_at_most_every_half_second() -> None:
    model = make()
    assert model.on_time(0) == []
    model.on_batch(life(10))
    [weights] = [one for one in model.on_time(1_000) if isinstance(one, OnlineWeights)]
    assert (weights.version, weights.examples, weights.feature_set, weights.updated_ms) == (60, 60, "small", 1_000)
    assert model.on_time(1_600) == []
    model.on_batch(life(11)[60:])
    assert [type(one) for one in model.on_time(1_499)] == []
    assert [one.version for one in model.on_time(1_500) if isinstance(one, OnlineWeights)] == [66]


def test_what_the_ranker_adds_up_is_what_the_learner_predicts() -> None:
    model = make()
    model.on_batch(life(300))
    rows = np.random.default_rng(1).normal(size=(8, 2)).astype(np.float32)
    summed = INITIAL["taken"] + heads(model)["taken"]
    scores = rows @ summed[:-1] + summed[-1]
    odds = np.exp(scores - scores.max())
    assert model._model is not None
    choice = model._model.choice
    np.testing.assert_allclose(odds / odds.sum(), choice.predict_choice(model._standard.of(rows.astype(np.float64))), rtol=1e-4)
    like = heads(model)["like"]
    z = np.append(model._standard.of(rows.astype(np.float64)), np.ones((8, 1)), axis=1) @ model._model.heads.models["like"].weights
    np.testing.assert_allclose(rows @ like[:-1] + like[-1], z, rtol=1e-3, atol=1e-4)


def test_it_learns_what_people_take_and_what_they_like() -> None:
    model = make()
    model.on_batch(life(1_500))
    summed = INITIAL["taken"] + heads(model)["taken"]
    assert summed[0] == pytest.approx(2.0, abs=0.4) and abs(summed[1]) < 0.1
    assert heads(model)["like"][1] > 0.05
    metrics = {one.head: one for one in model.metrics()}
    assert metrics["taken"].auc is not None and metrics["taken"].auc > 0.75
    assert metrics["like"].auc is not None and metrics["like"].auc > 0.95
    assert metrics["taken"].calibration == pytest.approx(1.0, abs=0.001)
    assert metrics["click"].auc is None and metrics["click"].calibration == pytest.approx(1.0, abs=0.1)


def test_nothing_goes_out_before_the_scale_of_the_features_is_known() -> None:
    model = make(warm_up=100)
    model.on_batch(life(10))
    assert model.on_time(10_000) == [] and model.counts["warm_up"] == 60


def test_repeats_strangers_and_gaps_are_counted_and_change_nothing() -> None:
    model, clean = make(), make()
    model.on_batch(sample())
    clean.on_batch(list({one.example_id: one for one in sample() if not one.example_id.startswith("s/")}.values()))
    assert model._model is not None and clean._model is not None
    assert model._model.dump() == clean._model.dump()
    assert (model.counts["repeats"], model.counts["unfit"], model.counts["other_feature_set"]) == (10, 2, 1)
    assert model.weights(0).examples == clean.weights(0).examples + 3


@given(st.integers(0, len(sample())), st.integers(0, len(sample())))
def test_a_crash_at_any_example_changes_nothing_also_when_some_are_read_again(at: int, back: int) -> None:
    events = sample()
    model, whole = make(), make()
    whole.on_batch(events)
    model.on_batch(events[:at])
    other = make()
    other.restore(model.snapshot())
    other.on_batch(events[max(0, at - back) :])
    assert other.weights(7).heads == whole.weights(7).heads and other.version == whole.version
    if at >= back == 0:
        assert other.snapshot() == whole.snapshot()


def test_versions_go_on_from_what_is_on_the_topic() -> None:
    lost = make(published=1_000)
    lost.on_batch(life(5))
    [weights] = [one for one in lost.on_time(0) if isinstance(one, OnlineWeights)]
    assert (weights.version, weights.examples) == (1_030, 30)

    model = make()
    model.on_batch(life(5))
    behind = make(published=36)
    behind.restore(model.snapshot())
    assert [one for one in behind.on_time(0) if isinstance(one, OnlineWeights)] == []
    behind.on_batch(life(7)[30:])
    [weights] = [one for one in behind.on_time(1_000) if isinstance(one, OnlineWeights)]
    assert weights.version == 42


@pytest.mark.parametrize("named", [True, False])
def test_a_snapshot_of_another_feature_set_leaves_only_the_versions_and_the_ids(named: bool) -> None:
    model = make()
    model.on_batch(life(20))
    state = model.snapshot()
    if not named:
        del state["feature_set"]
    other, fresh = make(feature_set="small" if not named else "swapped", names=("b", "a"), published=100), make(names=("b", "a"))
    other.restore(state)
    assert other.version == 120 and other.on_time(0) == []
    assert other._model is None and other.metrics() == []

    new = [msgspec.structs.replace(one, example_id=f"n{one.example_id}") for one in life(20)]
    fresh.on_batch(new)
    other.on_batch([msgspec.structs.replace(one, feature_set=other.feature_set) for one in [*life(20), *new]])
    assert other.counts["repeats"] == 120
    [weights] = [one for one in other.on_time(1_000) if isinstance(one, OnlineWeights)]
    assert (weights.version, weights.examples, weights.feature_set) == (240, 120, other.feature_set)
    assert weights.heads == fresh.weights(0).heads


def test_metrics_come_every_few_seconds_of_progress() -> None:
    model = make()
    model.on_batch(life(10))
    first = [one for one in model.on_time(0) if isinstance(one, LearningMetrics)]
    assert {one.head for one in first} == {"taken", "click", "like"} and all(one.as_of_ms == 2 for one in first)
    model.on_batch(life(11)[60:])
    assert [one for one in model.on_time(4_999) if isinstance(one, LearningMetrics)] == []
    assert [one for one in model.on_time(5_000) if isinstance(one, LearningMetrics)]


def test_state_is_bounded_over_endless_examples() -> None:
    model = make(max_ids=50, window=50, max_choices=10)
    sizes = []
    for n in range(400):
        model.on_batch([example(f"q{n}/v{PASSED_OVER}w", [1.0, n % 7], {"taken": 0}), example(f"p{n}/v", [n % 5, 2.0], {"click": n % 2})])
        sizes.append(sum(len(str(part)) for part in model.snapshot().values()))
    assert max(sizes[200:]) <= 1.05 * max(sizes[100:200])
