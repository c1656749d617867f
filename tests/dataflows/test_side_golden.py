"""Trending and co-occurrence: recorded input, expected output."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows import cooccurrence, trending
from dataflows.bucketed import Pace
from dataflows.engine import run_to_end
from dataflows.journal import Journal
from dataflows.kafka import Batch, Outgoing
from operators.cooccurrence.cowatch import CoWatch
from operators.trending.trending import Trending
from tests.dataflows.recordings import write

GOLDEN = Path(__file__).parent.parent / "golden" / "side"
EVENTS = "telemetry.events"


class Recorded(msgspec.Struct):
    """A record of an input topic, as `penstock topics tail` shows it."""

    topic: str
    partition: int
    offset: int
    value: msgspec.Raw


def batches(size: int, *topics: str) -> list[Batch]:
    records = [msgspec.json.decode(line, type=Recorded) for line in (GOLDEN / "input.jsonl").read_bytes().splitlines()]
    messages = [Message(one.topic, one.partition, one.offset, b"", bytes(one.value)) for one in records if one.topic in topics]
    return [Batch(messages[at : at + size]) for at in range(0, len(messages), size)]


def outcome(flow: Dataflow, out: list[Outgoing]) -> dict[str, Any]:
    """Return the last value of each key, as plain JSON."""
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    return {(one.key or b"").decode(): msgspec.json.decode(one.value or b"null") for one in out}


def expected(name: str) -> Any:
    return msgspec.json.decode((GOLDEN / name).read_bytes())


def lists(size: int) -> dict[str, Any]:
    """Return the trending lists."""
    out: list[Outgoing] = []
    flow = trending.build(
        TestingSource(batches(size, EVENTS)),
        TestingSink(out),
        trending=Trending(),
        topic="features.trending",
        pace=Pace(least=timedelta(0), share=1),
        count=lambda _what, _n: None,
    )
    return outcome(flow, out)


def neighbours(size: int, folder: Path) -> dict[str, Any]:
    """Return the neighbours of each video."""
    out: list[Outgoing] = []
    flow = cooccurrence.build(
        TestingSource(batches(size, EVENTS, "telemetry.history")),
        TestingSink(out),
        cowatch=CoWatch(),
        journal=Journal(folder),
        history="telemetry.history",
        topic="features.neighbours",
        # All is told at the end: a list that has not grown by a tenth since it was told is not told again.
        pace=Pace(least=timedelta(hours=1)),
        count=lambda _what, _n: None,
    )
    return outcome(flow, out)


def write_missing() -> None:
    """Write the expected outputs where there are none."""
    with TemporaryDirectory() as folder:
        for name, output in (("trending", lists(10_000)), ("cooccurrence", neighbours(10_000, Path(folder)))):
            write(GOLDEN / f"{name}.json", msgspec.json.format(msgspec.json.encode(output), indent=1) + b"\n")


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_trending_lists_are_those_that_were_recorded(size: int) -> None:
    assert lists(size) == expected("trending.json")


@pytest.mark.parametrize("size", [1, 10, 10_000])
def test_neighbours_are_those_that_were_recorded(size: int, tmp_path: Path) -> None:
    assert neighbours(size, tmp_path) == expected("cooccurrence.json")
