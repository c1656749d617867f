"""The labels flow: recorded input, expected output; equal to the byte, for a label is a choice and features are copied."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from bytewax.testing import TestingSink, TestingSource

from dataflows.engine import run_to_end
from dataflows.kafka import Batch, Outgoing
from dataflows.label_shards import Inputs, Owned
from dataflows.labels import build
from dataflows.progress import Progress
from operators.joins.inputs import event, page
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from operators.tokens import TokenClaims, sign
from schemas.codec import encode
from schemas.sharding import shard_of
from schemas.telemetry import InteractionType as Kind
from schemas.telemetry import Origin
from tests.dataflows.recordings import Recorded, read_input, read_output, write_input, write_output

FOLDER = "labels"
SERVED, EVENTS = "feed.served", "telemetry.events"
SECRET = b"0123456789abcdef"
T = 1_650_000_000_000
LATER_MS = 2 * 3_600_000
PARTITIONS = 4


class Life:
    """Pages of four people and what they did: with tokens and without, forged, for another video, twice, after a view is over."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.records: list[Recorded] = []
        self.ends: Counter[tuple[str, int]] = Counter()
        self.now_ms = T

    def pass_by(self, least_ms: int, most_ms: int) -> None:
        """Let time pass."""
        self.now_ms += self.random.randrange(least_ms, most_ms)

    def add(self, topic: str, user_id: str, value: msgspec.Struct | None) -> None:
        """Record a message, or one that does not decode."""
        partition = shard_of(user_id) % PARTITIONS
        one = Recorded(topic=topic, partition=partition, offset=self.ends[topic, partition], stamp_ms=self.now_ms, key=user_id)
        if value is None:
            one.text = "no json"
        else:
            one.value = msgspec.Raw(encode(value))
        self.records.append(one)
        self.ends[topic, partition] += 1

    def serve(self, user_id: str, request_id: str, video_ids: list[str]) -> None:
        """Serve a page."""
        self.add(SERVED, user_id, page(user_id, request_id, self.now_ms, video_ids).record)

    def happen(self, user_id: str, video_id: str, kind: Kind, token: str | None, value: float | None = None) -> None:
        """Let something happen; one time in ten it comes twice."""
        offset = len(self.records)
        one = event(user_id, video_id, kind, self.now_ms, offset, token=token, value=value).event
        for _ in range(2 if self.random.random() < 0.1 else 1):
            self.add(EVENTS, user_id, msgspec.structs.replace(one, origin=Origin(0, offset, 0)))

    def view(self, user_id: str, video_id: str, token: str | None) -> None:
        """See a video to some end, or to none."""
        random = self.random
        self.happen(user_id, video_id, Kind.IMPRESSION, token)
        self.pass_by(50, 20_000)
        for kind in random.sample(
            [Kind.CLICK, Kind.LIKE, Kind.UNLIKE, Kind.SHARE, Kind.FOLLOW, Kind.FINISH, Kind.NOT_INTERESTED], random.choice((0, 0, 1, 2))
        ):
            self.happen(user_id, video_id, kind, token)
        closing = random.choice((Kind.WATCH_TIME, Kind.SKIP, None))
        if closing is not None:
            self.happen(user_id, video_id, closing, token, round(random.uniform(0, 20), 1) if closing is Kind.WATCH_TIME else None)
        if random.random() < 0.1:
            self.pass_by(30_000, 30_001)
            self.happen(user_id, video_id, Kind.COMMENT, token)

    def visit(self, user_id: str, request_id: str) -> None:
        """Be served a page and look at its first videos, in an app that sends the tokens back or in one that does not."""
        with_tokens = self.random.random() < 0.7
        served_ms, video_ids = self.now_ms, self.random.sample([f"v{k}" for k in range(40)], self.random.randrange(1, 26))
        self.serve(user_id, request_id, video_ids)
        for position, video_id in enumerate(video_ids[: self.random.randrange(6)]):
            self.pass_by(50, 3_000)
            token = sign(SECRET, TokenClaims(request_id, video_id, position, served_ms, 1.0, "p", "1")) if with_tokens else None
            what = self.random.random()
            self.view(user_id, "v99" if what < 0.1 else video_id, "forged" if what > 0.95 else token)


def made(seed: int, n: int) -> list[Recorded]:
    """Some visits; what comes hours later in each partition closes every view of them by stamps alone."""
    life = Life(seed)
    for i in range(n):
        life.visit(f"u{life.random.randrange(4)}", f"r{i}")
    life.add(EVENTS, "torn", None)
    life.now_ms += LATER_MS
    for partition in range(PARTITIONS):
        user_id = next(name for name in map("end{}".format, range(100)) if shard_of(name) % PARTITIONS == partition)
        life.serve(user_id, f"end{partition}", ["end"])
        life.happen(user_id, "end", Kind.IMPRESSION, "none")
    return life.records


def run(records: list[Recorded], size: int) -> dict[str, Any]:
    """Return the examples by their ids, and the counts; silence says nothing, for the clock stands."""
    messages = [one.message() for one in records]
    counts: Counter[str] = Counter()
    out: list[Outgoing] = []

    def count(what: str, number: int) -> None:
        counts[what] += number

    flow = build(
        TestingSource([Batch(messages[at : at + size]) for at in range(0, len(messages), size)]),
        TestingSink(out),
        inputs=Inputs(
            served=SERVED,
            events=EVENTS,
            owned=Owned({SERVED: PARTITIONS, EVENTS: PARTITIONS}),
            progress=Progress(now=lambda: T / 1_000),
            count=count,
        ),
        make=lambda _shard: ServedOutcomes(secret=SECRET, pages=MemoryPages()),
        topic="learning.examples",
    )
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    examples = sorted((msgspec.json.decode(one.value or b"") for one in out), key=lambda one: one["example_id"])
    return {"examples": examples, "counts": dict(sorted(counts.items()))}


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_the_recorded_pages_and_events_give_the_expected_examples_however_they_are_batched(size: int) -> None:
    got, expected = run(read_input(FOLDER), size), read_output(FOLDER)
    assert got["counts"] == expected["counts"]
    assert got["examples"] == expected["examples"]


def test_the_recording_holds_both_joins_and_what_trains_nothing() -> None:
    expected = read_output(FOLDER)
    assert {one.get("joined_by", "token") for one in expected["examples"]} == {"token", "video"}
    assert len({one["example_id"] for one in expected["examples"]}) == len(expected["examples"])
    assert min(expected["counts"][what] for what in ("repeats", "malformed", "mismatched", "late", "undecodable", "unmatched")) > 0


def write_missing() -> None:
    """Write the files that are not there."""
    write_input(FOLDER, made(seed=1, n=25))
    write_output(FOLDER, run(read_input(FOLDER), size=10_000))
