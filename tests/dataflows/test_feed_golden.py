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
from dataflows.engine import run_to_end
from dataflows.feed import build, side_tables
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, Outgoing, RequestBatch, SideBatch
from dataflows.part import Part
from dataflows.reply_topics import ReplyTopics
from dataflows.segment_loader import SegmentLoader
from dataflows.store import PageAppend
from operators.chain import feed_pipeline
from operators.cursor import cursor_after
from operators.feed import FeedEngine
from operators.ranking.features import FEATURE_SET, N_FEATURES
from schemas.catalog import Moderation
from schemas.codec import decode, encode, pack
from schemas.features import Profile, UserState
from schemas.feed import FeedRequest, FeedResponse, ReadState, ServedRecord
from schemas.learning import Objective, OnlineWeights
from schemas.settings import Settings
from schemas.telemetry import Context
from tests.dataflows.recordings import GOLDEN, Recorded, assert_close, read_input, read_output, write, write_input, write_output
from tests.operators.feed_world import (
    DAY_MS,
    NOW_MS,
    SECRET,
    counters,
    item,
    record,
    rich_person,
    rich_world,
    seen_bitmap,
    state,
    taken,
    vector,
)
from tests.operators.feed_world import Record as Side

FOLDER = "feed"
REQUESTS, RESPONSES, SERVED, LETTERS = "feed.requests", "feed.responses", "feed.served", "telemetry.dlq"
PEOPLE = GOLDEN / FOLDER / "people.json"
VIDEOS = 40
DIGITS = 6


class Person(msgspec.Struct, omit_defaults=True):
    """What the store holds of somebody before the recording."""

    state: UserState | None = None
    seen: list[str] = []
    available: bool = True


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


def people() -> dict[str, Person]:
    """Somebody with tastes, somebody who has seen everything, somebody who hides everything, and a child; the store is away for one."""
    everything = [*(f"v{i}" for i in range(VIDEOS)), "twin", "copy", "adult"]
    return {
        "taste": Person(rich_person(), ["v1", "v2", "v8"]),
        "done": Person(state(user_id="done", recent=taken(everything[:3])), everything),
        "away": Person(available=False),
        "picky": Person(state(user_id="picky", hidden_videos=[*everything, "fresh"])),
        "child": Person(state(user_id="child", profile=Profile(birth_year=2011, region="DE", language="fr"))),
    }


class Recorder:
    """Numbers records by their topics."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self._ends: dict[str, int] = {}

    def add(self, topic: str, key: str, value: bytes | None, *, text: str | None = None) -> None:
        """Record one."""
        offset = self._ends[topic] = self._ends.get(topic, -1) + 1
        one = Recorded(topic=topic, offset=offset, key=key, stamp_ms=NOW_MS + offset, text=text)
        if value is not None:
            one.value = msgspec.Raw(value)
        self.records.append(one)

    def side(self, records: Sequence[Side]) -> None:
        """Record side records."""
        for topic, key, value in records:
            self.add(topic, key, value)

    def ask(self, user_id: str, request_id: str | None, **fields: Any) -> int:
        """Record a request; return its stamp."""
        self.add(REQUESTS, user_id, encode(FeedRequest(user_id=user_id, request_id=request_id, **fields)))
        return self.records[-1].stamp_ms


def made(seed: int) -> list[Recorded]:
    """Requests before there is a catalogue, with one, and after it, the weights, the objective and moderation have changed."""
    recorder = Recorder()
    recorder.ask("taste", "before")
    recorder.side(rich_world(VIDEOS, seed=seed))
    recorder.side([item("twin", title="twice", uploaded_ms=NOW_MS - 3_600_000), vector("twin", 9, simhash=5)])
    recorder.side([item("copy", title="twice", uploaded_ms=NOW_MS - DAY_MS), vector("copy", 9, simhash=5)])
    plain = {"creator_id": "c9", "duration_ms": 7_700, "tags": ("k2", "t1"), "category": "k2", "fields": {"badge": "new", "price": 3}}
    recorder.side([item("adult", title="late at night", age_rating=16, region="de", language="de-AT", **plain)])
    recorder.side(
        [counters("adult", total=40, decayed=2.0), item("soon", uploaded_ms=NOW_MS + DAY_MS), item("over", expires_ms=NOW_MS - DAY_MS)]
    )
    german = Context(region="DE", surface="1")
    first_ms = recorder.ask("taste", "first", limit=8, context=german)
    recorder.ask("taste", "second", limit=8, context=german)
    recorder.ask("new", None, limit=5)
    recorder.ask("new", "later", limit=5, ts_ms=NOW_MS + 500, context=Context(region="FR"))
    recorder.add(REQUESTS, "torn", None, text='{"user_id": ')
    recorder.add(REQUESTS, "wide", b'{"user_id":"wide","request_id":"wide","limit":1000}')
    recorder.add(REQUESTS, "early", b'{"user_id":"early","request_id":"early","ts_ms":%d}' % (NOW_MS + 60_000))
    recorder.ask("done", "again", limit=5)
    recorder.ask("away", "away", limit=5, context=german)
    recorder.ask("away", "lost", limit=5)
    recorder.side(_changes(seed))
    recorder.ask("taste", "third", limit=10, context=german)
    recorder.ask("taste", "shadow", limit=10, shadow=True)
    recorder.ask("taste", "fourth", limit=10)
    recorder.ask("new", "last", limit=30, context=Context(language="EN-us"))
    after = cursor_after(SECRET, "taste", request_id="first", at_ms=first_ms)
    for request_id in ("turned", "turned back"):
        recorder.ask("taste", request_id, limit=10, cursor=after)
    recorder.ask("picky", "nothing", limit=5)
    recorder.ask("child", "young", limit=5)
    recorder.ask("child", "abroad", limit=5, context=Context(region="fr-75", language="FR"))
    return recorder.records


def _changes(seed: int) -> list[Side]:
    learned = np.random.default_rng(seed).normal(scale=0.3, size=(2, N_FEATURES + 1)).round(3).astype(np.float32)
    heads = {head: weights.tobytes() for head, weights in zip(("taken", "like"), learned, strict=True)}
    weights = OnlineWeights(model="online", version=7, feature_set=FEATURE_SET, updated_ms=NOW_MS, examples=7, heads=heads)
    return [
        record("models.online", "online", weights),
        record("control.objective", "feed", Objective(version="o2", heads={"taken": 1.0, "like": 0.5}, exploration_rate=0.3)),
        record("control.moderation", "video:v12", Moderation(kind="video", id="v12", blocked=True, at_ms=NOW_MS)),
        record("catalog.items", "v20", None),
        item("fresh", creator_id="c7", title="a new one", tags=("k3",), category="k3", duration_ms=9_000, uploaded_ms=NOW_MS),
    ]


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
        loader=SegmentLoader(home / "segments", on_failure=lambda _announced, _error: None),
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
    for name in ("latency_ms", "read", "request", "response_sha256", "features"):
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
