from __future__ import annotations

from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message
from pydantic import ValidationError

from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.learning import build, challenger_of
from operators.learners.choices import example, sample
from operators.learners.online_ranking import OnlineRanking
from schemas.codec import decode, encode
from schemas.learning import DriftAlarm, LearningMetrics, OnlineWeights
from schemas.settings import Settings


def make() -> OnlineRanking:
    return OnlineRanking(feature_set="small", names=("a", "b"), initial={}, warm_up=4)


def test_examples_become_weights_and_metrics_at_their_pace() -> None:
    values = [encode(one) for one in sample()]
    batches = [Batch([Message("examples", 0, n, b"u", value)]) for n, value in enumerate([b"no json", *values])]
    counts: Counter[str] = Counter()
    out: list[Outgoing] = []
    ticks = iter(range(1_000, 1_000_000))

    def count(what: str, number: int) -> None:
        counts[what] += number

    flow = build(
        TestingSource(batches),
        TestingSink(out),
        make=make,
        weights_topic="weights",
        metrics_topic="metrics",
        drift_topic="drift",
        count=count,
        now=lambda: next(ticks) / 10,
    )
    run_to_end(flow, epoch=timedelta(seconds=1), store=None)

    weights = [decode(OnlineWeights, one.value or b"") for one in out if one.topic == "weights"]
    metrics = [decode(LearningMetrics, one.value or b"") for one in out if one.topic == "metrics"]
    assert {one.key for one in out} >= {b"online", b"online/taken", b"online/click"}
    assert [one.version for one in weights] == sorted({one.version for one in weights})
    assert all(later.updated_ms - one.updated_ms >= 500 for one, later in zip(weights, weights[1:], strict=False))
    assert len(metrics) < len(values) and {one.model for one in metrics} == {"online"}
    assert (counts["records"], counts["undecodable"], counts["repeats"], counts["unfit"]) == (len(values) + 1, 1, 10, 2)

    learned = make()
    for one in sample():
        learned.on_batch([one])
        if learned.version == weights[-1].version:
            break
    assert weights[-1].heads == learned.weights(0).heads


def test_alarms_go_to_their_topic_and_the_learner_is_shown_after_each_batch() -> None:
    rng = np.random.default_rng(4)
    values = [
        encode(example(f"r{n}/v", [float(rng.normal()), 1.0], {"click": int(rng.random() < (0.05 if n < 800 else 0.9)), "taken": 0}))
        for n in range(1_200)
    ]
    out: list[Outgoing] = []
    looks: list[dict[str, int]] = []
    flow = build(
        TestingSource([Batch([Message("examples", 0, n, b"u", value)]) for n, value in enumerate(values)]),
        TestingSink(out),
        make=make,
        weights_topic="weights",
        metrics_topic="metrics",
        drift_topic="drift",
        count=lambda _what, _number: None,
        show=lambda ranking: looks.append(dict(ranking.validation.risen)),
        now=lambda: 0.0,
    )
    run_to_end(flow, epoch=timedelta(seconds=1), store=None)
    alarms = [decode(DriftAlarm, one.value or b"") for one in out if one.topic == "drift"]
    assert {one.key for one in out if one.topic == "drift"} == {b"online/click"}
    rose = [one for one in alarms if one.after > one.before]
    assert len(rose) == 1 and 800 < rose[0].examples < 900 and rose[0].at_ms == 2
    assert looks[0] == {} and {"click": 2} in looks


def test_the_settings_name_the_challenger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert challenger_of(Settings()) is None
    given = {"CHALLENGER": "river.linear_model.Perceptron", "CHALLENGER_PARAMS": '{"l2": 0.5}', "CHALLENGER_SHARE": "0.1"}
    for name, value in given.items():
        monkeypatch.setenv(f"PENSTOCK_{name}", value)
    named = challenger_of(Settings())
    assert named is not None and (named.estimator, named.off) == ("river.linear_model.Perceptron", "")
    assert (named.params, named.share) == ({"l2": 0.5}, 0.1)
    monkeypatch.setenv("PENSTOCK_CHALLENGER", "os.path.Join")
    with pytest.raises(ValidationError, match="challenger"):
        Settings()
