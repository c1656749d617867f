"""The feed flow: recorded side topics, people and requests; expected answers and lineage.

Videos, their order, sources, reasons, levels, tokens and what became of each candidate are compared exactly; scores and features to 1e-4,
because logarithms differ in their last bits from one processor to another. No two neighbours of a recorded order are as near as that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import groupby
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pytest
from bytewax.testing import TestingSink, TestingSource

from dataflows.answering import Answering, Topics
from dataflows.artifacts import ArtifactLoader
from dataflows.engine import run_to_end
from dataflows.feed import build, side_tables
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, Outgoing, RequestBatch, SideBatch
from dataflows.part import Part
from dataflows.reply_topics import ReplyTopics
from dataflows.store import PageAppend
from operators.chain import feed_pipeline
from operators.feed import FeedEngine
from schemas.codec import decode, encode, pack
from schemas.feed import FeedResponse, ReadState, ServedRecord
from schemas.settings import Settings
from tests.dataflows.feed_recording import REQUESTS, Person, made, people
from tests.dataflows.recordings import GOLDEN, Recorded, assert_close, read_input, read_output, write, write_input, write_output
from tests.operators.feed_world import (
    NOW_MS,
    SECRET,
    seen_bitmap,
)

RESPONSES, SERVED, LETTERS = "feed.responses", "feed.served", "telemetry.dlq"
FOLDER = "feed"


PEOPLE = GOLDEN / FOLDER / "people.json"


DIGITS = 6


class Shelf:
    """A store in memory: recorded people, and the pages that they are served."""

    def __init__(self, people: dict[str, Person]) -> None:
        self.people = people
        self.pages: dict[str, list[bytes]] = {}

    def read(self, user_ids: Sequence[str], now_ms: Sequence[int]) -> list[ReadState]:
        return [self._read(user_id) for user_id in user_ids]

    def append_pages(self, appends: Sequence[PageAppend]) -> list[bool]:
        for one in appends:
            self.pages.setdefault(one.user_id, []).append(pack(one.page))
        return [True] * len(appends)

    def _read(self, user_id: str) -> ReadState:
        person = self.people.get(user_id, Person())
        if not person.available:
            return ReadState(available=False)
        return ReadState(
            state=None if person.state is None else pack(person.state),
            seen={"3934": seen_bitmap(person.seen)} if person.seen else {},
            pages=list(self.pages.get(user_id, ())),
        )


def batches(records: Sequence[Recorded], size: int) -> list[Batch]:
    """Return the records in their order as side batches and request batches of some size."""
    made: list[Batch] = []
    for is_request, some in groupby(records, lambda one: one.topic == REQUESTS):
        messages = [one.message() for one in some]
        kind = RequestBatch if is_request else SideBatch
        made += [kind(messages[at : at + size]) for at in range(0, len(messages), size)]
    return made


def run(records: Sequence[Recorded], store: Shelf, size: int, home: Path) -> list[Outgoing]:
    """Return what the flow sends; no source is cut for time, however slow the machine is."""
    part = Part("feed", Settings(home=home))
    metrics = FeedMetrics(part)
    pipeline = feed_pipeline([metrics])
    pipeline.retrieve_budget_s = inf
    metrics.names(pipeline.source_names, pipeline.reasons)
    answering = Answering(
        engine=FeedEngine(tables=side_tables(), secret=SECRET, seed=0, worker="golden", pipeline=pipeline),
        store=store,
        loader=ArtifactLoader(home, on_failure=lambda _announced, _error: None),
        topics=Topics(prefix="", served=SERVED, letters=LETTERS),
        replies=ReplyTopics(default=RESPONSES, listed=[], own=[], look=lambda: {RESPONSES: 8}),
        metrics=metrics,
        log=part.log,
        future_skew_ms=1_000,
        done=lambda _topic, _partition, _offset: None,
        wall_ms=lambda: NOW_MS,
    )
    out: list[Outgoing] = []
    flow = build(TestingSource(batches(records, size)), TestingSink(out), TestingSink(out), answering=answering)
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    return out


def outcome(out: Sequence[Outgoing]) -> dict[str, Any]:
    """Return answers, lineage and dead letters by their keys, as plain JSON without latency."""
    found: dict[str, dict[str, Any]] = {RESPONSES: {}, SERVED: {}, LETTERS: {}}
    for one in out:
        value = msgspec.json.decode(one.value or b"")
        value.pop("latency_ms", None)
        if one.topic == SERVED:
            found[SERVED][value["request_id"]] = _digest(decode(ServedRecord, one.value or b""), (one.key or b"").decode())
        else:
            headers = {name: (text or b"").decode() for name, text in one.headers}
            found[one.topic][(one.key or b"").decode()] = {"partition": one.partition, "headers": headers, "value": value}
    return {topic: dict(sorted(values.items())) for topic, values in found.items()}


def _digest(served: ServedRecord, key: str) -> dict[str, Any]:
    """Return a lineage record for comparison: what is long, and made of bytes that are the same everywhere, as a hash."""
    found, dropped = served.candidate_counts()
    columns = served.candidates
    plain: dict[str, Any] = msgspec.to_builtins(served)
    for name in ("latency_ms", "read", "request", "response_sha256", "features", "head_scores"):
        plain.pop(name, None)
    n = len(served.items)
    return plain | {
        "key": key,
        "request": served.request.decode(),
        "read_sha256": sha256(pack(served.read)).hexdigest(),
        "found": found,
        "dropped": dropped,
        "candidates": {
            "sha256": sha256(columns.video_ids.encode() + columns.sources + columns.dropped).hexdigest(),
            "scores": [None if np.isnan(one) else round(float(one), DIGITS) for one in np.frombuffer(columns.scores, dtype=np.float32)],
        },
        "head_scores": [{head: round(value, DIGITS) for head, value in row.items()} for row in served.head_table()],
        "features": np.frombuffer(served.features, dtype=np.float32).reshape(-1, n).astype(float).round(DIGITS).tolist() if n else [],
    }


def recorded_run(size: int, home: Path) -> list[Outgoing]:
    return run(read_input(FOLDER), Shelf(msgspec.json.decode(PEOPLE.read_bytes(), type=dict[str, Person])), size, home)


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_the_recorded_requests_get_the_expected_answers_however_they_are_batched(size: int, tmp_path: Path) -> None:
    assert_close(outcome(recorded_run(size, tmp_path)), read_output(FOLDER))


def test_two_runs_give_the_same_bytes_and_lineage_names_those_of_the_answer(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        out = recorded_run(1_000, tmp_path / name)
        replies = [decode(FeedResponse, one.value or b"") for one in out if one.topic == RESPONSES]
        answers = {one.request_id: encode(msgspec.structs.replace(one, latency_ms={})) for one in replies}
        served = [decode(ServedRecord, one.value or b"") for one in out if one.topic == SERVED]
        hashes.append({one.request_id: one.response_sha256 for one in served})
        assert hashes[-1] == {one.request_id: sha256(answers[one.request_id]).hexdigest() for one in served}
    assert hashes[0] == hashes[1]


def test_the_recording_holds_each_level_that_can_be_and_chance() -> None:
    expected = read_output(FOLDER)
    levels = {one["value"]["degradation_level"] for one in expected[RESPONSES].values()}
    assert levels == {"full", "regional_trending", "global_popular", "nothing_allowed", "empty_catalogue", "error"}
    served = expected[SERVED]
    assert {one["value"]["reason"] for one in expected[LETTERS].values()} == {"malformed", "wrong_type", "future_dated"}
    assert any(item["explored"] for one in served.values() for item in one["items"])
    dropped = {reason for one in served.values() for reason in one["dropped"]}
    assert dropped >= {"near_duplicate", "blocked", "hidden", "session", "seen", "not_in_catalogue", "not_available", "age", "language"}
    first, again = (served["turned"], served["turned back"])
    assert [item["video_id"] for item in first["items"]] == [item["video_id"] for item in again["items"]]
    assert {item["source"] for item in again["items"]} == {"repeated"}


def test_no_two_videos_are_ranked_so_close_that_another_processor_might_swap_them() -> None:
    for one in read_output(FOLDER)[SERVED].values():
        scores = np.sort([score for score in one["candidates"]["scores"] if score is not None])
        assert len(scores) < 2 or np.diff(scores).min() > 1e-5


def write_missing() -> None:
    """Write the files that are not there."""
    write_input(FOLDER, made(seed=4))
    write(PEOPLE, msgspec.json.format(msgspec.json.encode(people()), indent=1) + b"\n")
    with TemporaryDirectory() as home:
        write_output(FOLDER, outcome(recorded_run(1_000, Path(home))))
