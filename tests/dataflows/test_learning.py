from __future__ import annotations

from collections import Counter
from datetime import timedelta

from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.learning import build
from operators.learners.choices import sample
from operators.learners.online_ranking import OnlineRanking
from schemas.codec import decode, encode
from schemas.learning import LearningMetrics, OnlineWeights


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
