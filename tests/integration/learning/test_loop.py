"""Served pages and events become examples, and those weights, over the real broker and over crashes."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from confluent_kafka import Message

from operators.joins.inputs import Happened, Input, Reached, Served
from operators.joins.pages import MemoryPages, ServedPart
from operators.joins.served_outcomes import ServedOutcomes
from operators.learners.online_ranking import OnlineRanking
from operators.ranking.features import FEATURE_SET, INITIAL, NAMES
from schemas.codec import decode
from schemas.learning import LabelledExample, LearningMetrics, OnlineWeights
from schemas.sharding import SHARDS, shard_of
from schemas.telemetry import Event
from tests.integration.learning.conftest import PartProcess, World, read_all

pytestmark = pytest.mark.integration

PATIENCE_S = 40.0


@pytest.fixture(autouse=True)
def challenged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree learns beside the champion."""
    monkeypatch.setenv("PENSTOCK_CHALLENGER", "river.tree.HoeffdingTreeClassifier")


def stamp(message: Message) -> int:
    return message.timestamp()[1]


def metrics_of(message: Message) -> LearningMetrics:
    return decode(LearningMetrics, message.value() or b"")


def _uninterrupted(world: World) -> tuple[dict[str, LabelledExample], Counter[str]]:
    lives: list[list[Input]] = [[] for _ in range(SHARDS)]
    for message in read_all(world.settings, "feed.served"):
        page = decode(ServedPart, message.value() or b"")
        lives[shard_of(page.user_id)].append(Served(page, stamp(message)))
    for message in read_all(world.settings, "telemetry.events"):
        event = decode(Event, message.value() or b"")
        lives[shard_of(event.user_id)].append(Happened(event, stamp(message)))
    out: dict[str, LabelledExample] = {}
    counts: Counter[str] = Counter()
    for life in lives:
        join = ServedOutcomes(secret=world.secret, pages=MemoryPages())
        life.sort(key=lambda one: (one.stamp_ms, isinstance(one, Happened)) if not isinstance(one, Reached) else (0, False))
        end_ms = int(time.time() * 1000) + 60_000
        out |= {one.example_id: one for one in join.on_batch([*life, Reached(events_ms=end_ms, served_ms=end_ms)])}
        counts += join.counts
    return out, counts


def expected_examples(world: World) -> dict[str, LabelledExample]:
    """What one uninterrupted join makes of the topics, read in the order of their stamps."""
    return _uninterrupted(world)[0]


def expected_joins(world: World) -> Counter[str]:
    """What it counts on the way."""
    return _uninterrupted(world)[1]


def distinct(messages: list[Message]) -> dict[str, LabelledExample]:
    out: dict[str, LabelledExample] = {}
    for message in messages:
        one = decode(LabelledExample, message.value() or b"")
        assert out.setdefault(one.example_id, one) == one, "a repeat says something else"
    return out


def wait_for_examples(world: World, number: int) -> dict[str, LabelledExample]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = distinct(read_all(world.settings, "learning.examples"))
        if len(found) >= number or time.monotonic() > deadline:
            return found
        time.sleep(0.3)


def wait_for_weights(world: World, examples: int) -> OnlineWeights:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        records = read_all(world.settings, "models.online")
        if records:
            newest = decode(OnlineWeights, records[-1].value() or b"")
            if newest.examples >= examples or time.monotonic() > deadline:
                return newest
        assert time.monotonic() < deadline, "no weights"
        time.sleep(0.3)


def test_weights_are_out_within_a_second_of_the_example_and_the_example_within_a_second_of_the_outcome(
    world: World, parts: dict[str, PartProcess]
) -> None:
    world.live(10, per_second=30).join()
    expected = expected_examples(world)
    assert wait_for_examples(world, len(expected)) == expected
    wait_for_weights(world, len(expected))
    examples = read_all(world.settings, "learning.examples")
    versions = [(decode(OnlineWeights, one.value() or b"").version, stamp(one)) for one in read_all(world.settings, "models.online")]
    assert [version for version, _ in versions] == sorted({version for version, _ in versions})

    first = versions[0][0]
    waits = [next(at for version, at in versions if version > n) - stamp(one) for n, one in enumerate(examples) if n > first]
    delays = [stamp(one) - decode(LabelledExample, one.value() or b"").outcome_ms for one in examples]
    by_token = [decode(LabelledExample, one.value() or b"").joined_by == "token" for one in examples]
    token = [delay for delay, exact in zip(delays, by_token, strict=True) if exact]
    middle, worst = np.percentile(token, [50, 99])
    print(f"\n{len(examples)} examples, {len(versions)} weights; example to weights p50, p99 {np.percentile(waits, [50, 99])} ms")
    print(f"outcome to example p50 {middle:.0f}, p99 {worst:.0f} ms by token; p99 {np.percentile(delays, 99):.0f} ms in all")
    assert np.percentile(waits, 50) < 1_000 and np.percentile(waits, 99) < 2_000
    assert middle < 1_000 and worst < 5_000
    metrics = [metrics_of(one) for one in read_all(world.settings, "learning.metrics")]
    assert {"taken", "long_view", "like"} <= {one.head for one in metrics if one.model == "online"}
    beside = {one.head: one for one in metrics if one.model == "challenger"}
    assert beside["long_view"].examples > 0 and beside["long_view"].off is None
    assert beside["long_view"].champion_log_loss is not None
    assert parts["labels"].metrics()['penstock_labels_total{what="examples"}'] > 0


def test_kills_of_labels_and_learning_lose_no_example_and_change_no_weight(world: World, parts: dict[str, PartProcess]) -> None:
    living = world.live(16, per_second=25, repeat=0.2)
    for _ in range(3):
        for part in parts.values():
            time.sleep(1.2)
            part.kill()
            part.start()
    living.join()
    expected = expected_examples(world)
    examples = wait_for_examples(world, len(expected))
    assert examples.keys() == expected.keys()
    assert examples == expected

    weights = wait_for_weights(world, len(expected))
    records = read_all(world.settings, "learning.examples")
    uninterrupted = OnlineRanking(feature_set=FEATURE_SET, names=NAMES, initial=INITIAL)
    uninterrupted.on_batch([decode(LabelledExample, one.value() or b"") for one in records])
    assert weights.examples == weights.version == len(expected)
    assert weights.heads == uninterrupted.weights(0).heads
    versions = [decode(OnlineWeights, one.value() or b"").version for one in read_all(world.settings, "models.online")]
    assert versions == sorted(versions)
    memory = {name: part.metrics()["process_resident_memory_bytes"] / 1e6 for name, part in parts.items()}
    print(f"\n{len(records)} records, {len(expected)} examples, {len(versions)} weights; memory in MB {memory}")
    challengers = [one for one in map(metrics_of, read_all(world.settings, "learning.metrics")) if one.model == "challenger"]
    assert challengers and all(one.off is None for one in challengers)
    # river brings scipy along, some 70 MB.
    assert memory["labels"] < 150 and memory["learning"] < 250
    assert [parts["labels"].stop(), parts["learning"].stop()] == [0, 0]
