"""A second artifact that stands in the list of views is recorded and replayed, with no change elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dataflows.kafka import Outgoing
from operators.replay.run import Replay, Report
from operators.tables.side import SideTables
from schemas.codec import decode, encode
from schemas.feed import ServedRecord
from schemas.settings import Settings
from schemas.topics import load_topics
from serving.record import record
from tests.dataflows.answering_step import CATALOGUE, PREFIX, count, made_step, request
from tests.operators.feed_world import SECRET, Record
from tests.operators.replay.recorded import asked, side_tables
from tests.operators.tables.second_artifact import KINDS, Priors, release, tables_with_priors

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: str, admin: AdminClient, tmp_path: Path) -> Settings:
    """A namespace of topics, the one of the artifact among them."""
    prefix = f"second-{uuid.uuid4().hex[:8]}."
    sizes = {spec.name: spec.partitions for spec in load_topics().values()} | {Priors.topic: 1}
    for made in admin.create_topics([NewTopic(prefix + name, n, 1) for name, n in sizes.items()]).values():
        made.result(timeout=30)
    return Settings(home=tmp_path / "home", bootstrap_servers=kafka, topic_prefix=prefix)


def produced(settings: Settings, side: Sequence[Record], out: Sequence[Outgoing]) -> None:
    """Write side records and what the step sent to the cluster."""
    producer = Producer({**settings.kafka(), "linger.ms": 0})
    for topic, key, value in side:
        producer.produce(settings.topic_prefix + topic, value, key.encode(), 0)
    for one in out:
        topic = settings.topic_prefix + one.topic.removeprefix(PREFIX)
        producer.produce(topic, one.value, one.key, 0 if one.partition is None else one.partition, headers=list(one.headers))
    assert producer.flush(20) == 0


def replayed(folder: Path, tables: Callable[[], SideTables]) -> Report:
    """Replay a folder on tables of some list of views."""
    replay = Replay(folder=folder, secret=SECRET, ask=asked, make_tables=tables)
    try:
        return replay.run()
    finally:
        replay.close()


def test_a_second_artifact_is_recorded_with_its_files_and_replayed_as_it_was_swapped(settings: Settings, tmp_path: Path) -> None:
    store = settings.home / Priors.folder
    step = made_step(settings.home, tables_with_priors())
    priors = step.answering.engine.tables.view(Priors)
    first, second = release(store, "1", {"k": 0.5}), release(store, "2", {"k": 2.0})
    missing = msgspec.structs.replace(second, version="3", path="gone")
    side: list[Record] = [*CATALOGUE]
    out: list[Outgoing] = []

    def say(value: bytes | None) -> None:
        side.append((Priors.topic, "priors", value))
        step.side(side[-1:])

    def answer() -> None:
        out.extend(step.ask(request(request_id=f"r{len(out)}")))

    answer()
    for released in (first, second):
        say(encode(released))
        step.settle(lambda released=released: priors.version == released.version)  # type: ignore[misc]
        answer()
    say(encode(missing))
    step.settle(lambda: count(step, "artifact_not_loaded") == 1)
    answer()
    say(None)
    answer()
    say(encode(first))
    step.settle(lambda: priors.version == "1")
    answer()
    told = [decode(ServedRecord, one.value or b"") for one in out if one.topic.endswith("served")]
    assert [one.model_versions["priors"] for one in told] == ["none", "1", "2", "2", "none", "1"]
    assert [one.offsets.get("models.priors/0") for one in told] == [None, 1, 2, 2, 4, 5]

    produced(settings, side, out)
    recording = tmp_path / "run"
    manifest = record(settings, recording, kinds=KINDS).manifest
    copied = {one.path: (one.topic, one.copied, one.why) for one in manifest.artifacts}
    assert copied == {
        first.path: (Priors.topic, True, ""),
        second.path: (Priors.topic, True, ""),
        "gone": (Priors.topic, False, "its files were not in the store"),
    }
    report = replayed(recording, tables_with_priors)
    assert (report.requests, report.mismatches, report.reasons, report.same) == (6, 0, {}, True)
    without = replayed(recording, side_tables)
    assert (without.same, without.reasons) == (False, {"models.priors/0 is not in the recording": 5})
    for file in (recording / Priors.folder / second.path).iterdir():
        file.write_text("{}")
    assert replayed(recording, tables_with_priors).reasons == {
        f"the files of {second.path}, announced on models.priors, are not in the recording": 2
    }
