"""The ingest flow: recorded input, expected output."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows.engine import run_to_end
from dataflows.ingest import build
from dataflows.kafka import Batch, Outgoing
from operators.ingest.admit import Admission
from operators.ingest.parse import Parser
from operators.ingest.scrub import Scrubber
from schemas.codec import decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import Event
from tests.dataflows.recordings import write_output

GOLDEN = Path(__file__).parent.parent / "golden" / "ingest"


def write_missing() -> None:
    """Write the expected output where there is none yet."""
    write_output("ingest", plain(run([Batch(recorded())], Counter())))


class Recorded(msgspec.Struct):
    """A record of an input topic; `value` is its text, None for a tombstone."""

    topic: str
    partition: int
    offset: int
    stamp_ms: int
    key: str
    value: str | None


def recorded() -> list[Message]:
    lines = (GOLDEN / "input.jsonl").read_bytes().splitlines()
    return [_message(msgspec.json.decode(line, type=Recorded)) for line in lines]


def _message(one: Recorded) -> Message:
    value = None if one.value is None else one.value.encode()
    return Message(one.topic, one.partition, one.offset, one.key.encode(), value, timestamp=(2, one.stamp_ms))


def run(batches: list[Batch], counts: Counter[str]) -> list[Outgoing]:
    out: list[Outgoing] = []

    def count(what: str, n: int) -> None:
        counts[what] += n

    flow = build(
        TestingSource(batches),
        TestingSink(out),
        parser=Parser(scrubber=Scrubber(key=b"golden"), future_skew_ms=300_000, max_bytes=2_000),
        admission=Admission(),
        catalogue="catalog.items",
        events="telemetry.events",
        letters="telemetry.dlq",
        count=count,
        signal=lambda name, n: count(f"signal {name}", n),
    )
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    return out


def plain(out: list[Outgoing]) -> list[dict[str, Any]]:
    return [{"topic": one.topic, "key": (one.key or b"").decode(), "value": msgspec.json.decode(one.value or b"")} for one in out]


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_recorded_input_gives_the_expected_output_however_it_is_batched(size: int) -> None:
    messages = recorded()
    got = plain(run([Batch(messages[at : at + size]) for at in range(0, len(messages), size)], Counter()))
    expected = msgspec.json.decode((GOLDEN / "output.json").read_bytes())
    for one, other in zip(got, expected, strict=True):
        assert one == other


def test_the_recording_holds_a_case_of_every_reason_that_ingest_gives() -> None:
    counts: Counter[str] = Counter()
    out = run([Batch(recorded())], counts)
    letters = [decode(DeadLetter, one.value or b"") for one in out if one.topic == "telemetry.dlq"]
    assert {one.reason for one in letters} == set(ReasonCode) - {ReasonCode.EXPIRED, ReasonCode.INTERNAL}
    raw = {(message.topic(), message.partition(), message.offset()): message.value() or b"" for message in recorded()}
    assert all(one.raw == raw[one.topic, one.partition, one.offset] for one in letters)
    assert counts["records"] == len(raw)
    assert counts["events"] == counts["signal events"] == len(out) - len(letters)
    repeats = [one for one in letters if one.reason is ReasonCode.DUPLICATE]
    assert counts["duplicate"] == 6
    assert len(repeats) == 3, "one a minute"
    assert sum(counts[one.reason.value] for one in {one.reason: one for one in letters}.values()) == len(letters) + 3


def test_every_event_goes_through_once_or_has_a_letter() -> None:
    out = run([Batch(recorded())], Counter())
    events = [decode(Event, one.value or b"") for one in out if one.topic == "telemetry.events"]
    names = [(one.user_id, one.event_id) for one in events]
    assert len(set(names)) == len(names)
    assert [one.origin for one in events] == sorted([one.origin for one in events], key=lambda origin: (origin.offset, origin.index))
    assert {one.key.decode() for one in out if one.topic == "telemetry.events" and one.key is not None} == {one.user_id for one in events}
