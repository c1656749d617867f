"""The learning flow: recorded input, expected output.

Versions and counts are compared exactly, weights and metrics to 1e-4, because exponentials and inner products differ in their last bits
from one processor to another.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource

from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.learning import build
from operators.learners.choices import PASSED_OVER, example
from operators.learners.online_ranking import OnlineRanking
from schemas.codec import encode
from schemas.learning import LabelledExample
from tests.dataflows.recordings import Recorded, assert_close, read_input, read_output, write_input, write_output

FOLDER = "learning"
TOPIC = "learning.examples"
INITIAL = {"taken": np.array([0.5, 0.0, -0.25, 0.0], dtype=np.float32)}
RECORD_S = 10


def made(seed: int, n: int) -> list[Recorded]:
    """People who choose one of four by the first feature and like by the second; with repeats, and examples that do not fit."""
    rng = np.random.default_rng(seed)
    examples: list[LabelledExample] = []
    for i in range(n):
        rows = (rng.normal(size=(4, 3)) * [1.0, 10.0, 0.1] + [5.0, -3.0, 0.0]).round(3)
        best = int(np.argmax(2 * rows[:, 0] + rng.gumbel(size=4)))
        examples += [example(f"r{i}/v{PASSED_OVER}w{k}", rows[k].tolist(), {"taken": 0}) for k in range(4) if k != best]
        labels = {"click": 1, "like": int(rows[best, 1] > -3.0), "finish": i % 2, "taken": 1}
        examples.append(example(f"r{i}/v", rows[best].tolist(), labels))
        examples.append(example(f"r{i}/z", rows[3 - best].tolist(), {"click": 0, "long_view": 0, "taken": 0}))
        if i % 8 == 5:
            examples += examples[-4:-2]
    examples.insert(30, example("s/1", [1.0], {"click": 1}))
    examples.insert(40, example("s/2", [1.0, 2.0, 3.0], {"click": 1}, feature_set="other"))
    examples.insert(50, example("s/3", [1.0, float("inf"), 3.0], {"click": 1}))
    values: list[LabelledExample | None] = [*examples[:60], None, *examples[60:]]
    return [_record(offset, one) for offset, one in enumerate(values)]


def _record(offset: int, one: LabelledExample | None) -> Recorded:
    if one is None:
        return Recorded(topic=TOPIC, offset=offset, key="u", text="no json")
    return Recorded(topic=TOPIC, offset=offset, key=one.user_id, value=msgspec.Raw(encode(one)))


def run(records: list[Recorded], size: int) -> dict[str, Any]:
    """Return the last value of each key, weights as numbers, and the counts; the clock goes on by the records."""
    messages = [one.message() for one in records]
    counts: Counter[str] = Counter()
    out: list[Outgoing] = []

    def count(what: str, number: int) -> None:
        counts[what] += number

    flow = build(
        TestingSource([Batch(messages[at : at + size]) for at in range(0, len(messages), size)]),
        TestingSink(out),
        make=lambda: OnlineRanking(feature_set="small", names=("a", "b", "c"), initial=INITIAL, warm_up=20, window=100),
        weights_topic="models.online",
        metrics_topic="learning.metrics",
        drift_topic="learning.drift",
        count=count,
        now=lambda: counts["records"] * RECORD_S,
    )
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    last = {f"{one.topic} {(one.key or b'').decode()}": msgspec.json.decode(one.value or b"") for one in out}
    heads = last["models.online online"]["heads"]
    last["models.online online"]["heads"] = {
        head: np.frombuffer(b64decode(data), dtype=np.float32).astype(float).tolist() for head, data in heads.items()
    }
    return {"last": last, "counts": dict(sorted(counts.items()))}


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_the_recorded_examples_give_the_expected_weights_however_they_are_batched(size: int) -> None:
    assert_close(run(read_input(FOLDER), size), read_output(FOLDER))


def test_the_recording_holds_repeats_and_each_kind_of_example_that_does_not_fit() -> None:
    counts = read_output(FOLDER)["counts"]
    assert min(counts[what] for what in ("repeats", "unfit", "other_feature_set", "undecodable", "choices", "seen", "warm_up")) > 0


def write_missing() -> None:
    """Write the files that are not there."""
    write_input(FOLDER, made(seed=2, n=60))
    write_output(FOLDER, run(read_input(FOLDER), size=10_000))
