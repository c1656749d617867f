from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.label_shards import Inputs, Owned
from dataflows.labels import LEARNER_PARTITION, build, flow
from dataflows.part import Part
from dataflows.progress import Progress
from operators.joins.inputs import Happened, Served, event, page
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from operators.tokens import TokenClaims, sign
from schemas.codec import decode
from schemas.learning import LabelledExample
from schemas.settings import Settings
from schemas.sharding import SHARDS, shard_of
from schemas.telemetry import InteractionType as Kind

SECRET = b"0123456789abcdef"
T = 1_650_000_000_000


def message(one: Served | Happened, offset: int) -> Message:
    what = one.record if isinstance(one, Served) else one.event
    topic = "served" if isinstance(one, Served) else "events"
    return Message(topic, shard_of(what.user_id) % 4, offset, what.user_id.encode(), msgspec.json.encode(what), timestamp=(2, one.stamp_ms))


def inputs(counts: Counter[str], *, partitions: int = 4) -> Inputs:
    def count(what: str, number: int) -> None:
        counts[what] += number

    return Inputs(served="served", events="events", owned=Owned({"served": partitions, "events": 4}), progress=Progress(), count=count)


def test_pages_and_events_become_examples_on_the_learners_partition() -> None:
    tokens = [sign(SECRET, TokenClaims("r1", video, place, T, 1.0, "p", "1")) for place, video in enumerate("ab")]
    life: list[Served | Happened] = [
        page("u", "r1", T, ["a", "b"]),
        event("u", "a", Kind.IMPRESSION, T + 10, 0, token=tokens[0]),
        event("u", "a", Kind.WATCH_TIME, T + 20, 1, token=tokens[0], value=9.9),
        event("u", "a", Kind.LIKE, T + 30, 2, token=tokens[0]),
        event("u", "b", Kind.SKIP, T + 40, 3, token=tokens[1]),
        event("u", "b", Kind.SHARE, T + 50, 4, token="forged"),  # noqa: S106
        event("u", "q", Kind.IMPRESSION, T + 5_000, 5, token=tokens[1]),
    ]
    messages = [message(one, n) for n, one in enumerate(life)]
    messages.insert(3, Message("events", 0, 99, b"k", b"no json", timestamp=(2, T + 20)))
    counts: Counter[str] = Counter()
    out: list[Outgoing] = []
    for cut in (1, 3, len(messages)):
        counts.clear()
        out.clear()
        batches = [Batch(messages[at : at + cut]) for at in range(0, len(messages), cut)]
        flow = build(
            TestingSource(batches),
            TestingSink(out),
            inputs=inputs(counts),
            make=lambda _shard: ServedOutcomes(secret=SECRET, pages=MemoryPages()),
            topic="examples",
        )
        run_to_end(flow, epoch=timedelta(seconds=1), store=None)
        assert [(one.topic, one.key, one.partition) for one in out] == [("examples", b"u", LEARNER_PARTITION)] * 2
        examples = [decode(LabelledExample, one.value or b"") for one in out]
        assert [(one.example_id, one.labels["like"], one.labels["taken"]) for one in examples] == [("r1/a", 1, 1), ("r1/b", 0, 0)]
        assert counts == {"records": 8, "undecodable": 1, "pages": 1, "joined": 4, "examples": 2, "malformed": 1, "mismatched": 1}


def test_a_shard_is_as_far_as_the_partition_of_its_users() -> None:
    given = inputs(Counter())
    given.by_shard(Batch([message(event("u", "a", Kind.LIKE, T, 0), 0)]))
    stamps = given._stamps
    reached = [given.reached(shard, lambda topic, partition: stamps.get((topic, partition), 0)).events_ms for shard in range(SHARDS)]
    assert [shard for shard in range(SHARDS) if reached[shard] == T] == list(range(shard_of("u") % 4, SHARDS, 4))


def test_where_shards_and_partitions_do_not_divide_a_shard_is_as_far_as_the_slowest_partition() -> None:
    given = inputs(Counter(), partitions=3)
    slow = given.reached(5, lambda topic, partition: partition + 1 if topic == "served" else 0)
    assert slow.served_ms == 1


def test_what_stands_on_a_partition_that_is_not_its_persons_is_counted_and_passed_over() -> None:
    counts: Counter[str] = Counter()

    def count(what: str, number: int) -> None:
        counts[what] += number

    owned = Owned({"served": 4, "events": 4}, worker=shard_of("u") % 4, workers=4)
    given = Inputs(served="served", events="events", owned=owned, progress=Progress(), count=count)
    stranger = next(name for name in map("w{}".format, range(100)) if shard_of(name) not in owned.shards)
    wrong = msgspec.json.encode(event(stranger, "a", Kind.LIKE, T, 1).event)
    batch = Batch(
        [message(event("u", "a", Kind.LIKE, T, 0), 0), Message("events", shard_of("u") % 4, 1, b"k", wrong, timestamp=(2, T))],
    )
    turns = {turn.shard: turn.inputs for _, turn in given.by_shard(batch)}
    assert turns.keys() == set(owned.shards)
    assert [type(one).__name__ for one in turns[shard_of("u")]] == ["Happened", "Reached"]
    assert counts == {"records": 2, "misplaced": 1}


def test_a_part_that_is_told_to_end_while_its_topics_are_awaited_builds_its_flow_and_looks_for_nothing(tmp_path: Path) -> None:
    part = Part("labels", Settings(home=tmp_path, bootstrap_servers="127.0.0.1:1", worker=1, workers=2))
    part.shutdown.request()
    began = time.monotonic()
    flow(part)
    assert time.monotonic() - began < 5
