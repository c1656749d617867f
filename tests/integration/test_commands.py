"""The commands of an operator, each run as a person runs it, on the real broker under a prefix of their own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import decode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.settings import Settings
from schemas.telemetry import Context, TelemetryBatch
from schemas.topics import load_topics
from serving.publisher import Publisher
from serving.topic_reader import read_topic
from serving.topics import apply_topics, plan_topics

pytestmark = pytest.mark.integration

RAW = b'{"user_id":"42","events":[{"event_id":"a","extra":1},{"event_id":"b"}]}'
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def settings(kafka: str, admin: AdminClient, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A namespace of topics on the session's broker."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix=f"t{uuid.uuid4().hex[:8]}.", home=tmp_path_factory.mktemp("home"))
    apply_topics(admin, plan_topics(admin, load_topics().values(), prefix=settings.topic_prefix))
    return settings


@pytest.fixture
def run(settings: Settings) -> Run:
    """Run a command."""
    env = {
        **os.environ,
        "PENSTOCK_HOME": str(settings.home),
        "PENSTOCK_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "PENSTOCK_TOPIC_PREFIX": settings.topic_prefix,
    }

    def command(*words: str, columns: str = "200", given: str = "") -> subprocess.CompletedProcess[str]:
        script = Path(sys.executable).with_name("penstock")
        return subprocess.run(
            [script, *words], env={**env, "COLUMNS": columns}, input=given, capture_output=True, text=True, timeout=60, check=False
        )

    return command


def json_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def letter(settings: Settings, *, offset: int, event_index: int, reason: ReasonCode = ReasonCode.INVALID_VALUE) -> DeadLetter:
    return DeadLetter(
        reason=reason,
        expected="x",
        got="y",
        path="$",
        topic=f"{settings.topic_prefix}telemetry.raw",
        partition=1,
        offset=offset,
        event_index=event_index,
        at_ms=1_651_000_000_000,
        key=b"42",
        raw=RAW,
    )


def test_dead_letters_are_listed_once_shown_whole_and_sent_again(run: Run, settings: Settings) -> None:
    letters = [
        letter(settings, offset=7, event_index=1),
        letter(settings, offset=7, event_index=1),
        letter(settings, offset=9, event_index=-1, reason=ReasonCode.MALFORMED),
    ]
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for one in letters:
            publisher.publish("telemetry.dlq", one.letter_id, one)

    listed = json_of(run("dlq", "list", "--json"))
    assert listed["reasons"] == {"invalid_value": 1, "malformed": 1}
    ids = [row["id"] for row in listed["letters"]]
    assert ids == [letters[0].letter_id, letters[2].letter_id]
    assert [row["id"] for row in json_of(run("dlq", "list", "--reason", "malformed", "--json"))["letters"]] == ids[1:]
    assert json_of(run("dlq", "show", ids[0], "--json"))["raw"] == json.loads(RAW)

    assert [row["state"] for row in listed["letters"]] == ["open", "open"]
    would = json_of(run("dlq", "retry", "--all", "--dry-run", "--json"))
    assert [row["id"] for row in would["letters"]] == ids
    nothing = {"resolved": 0, "failed_again": [], "left": []}
    assert json_of(run("dlq", "retry", "--all", "--wait", "0", "--json")) == {"sent": 2, "not_yet": 2, **nothing}
    sent = list(read_topic(settings, "telemetry.raw"))
    fields = [{"attempt": b"2", "origin_letter": name.encode()} for name in ids]
    assert [(message.partition(), message.key(), dict(message.headers() or [])) for message in sent] == [
        (1, b"42", each) for each in fields
    ]
    assert [message.value() for message in sent] == [b'{"user_id":"42","events":[{"event_id":"b"}]}', RAW]

    assert json_of(run("dlq", "retry", "--all", "--json")) == {"sent": 0, "not_yet": 0, **nothing}
    assert json_of(run("dlq", "retry", ids[1], "--wait", "0", "--json")) == {"sent": 1, "not_yet": 1, **nothing}
    assert run("dlq", "retry").returncode == 2
    unknown = run("dlq", "show", "nothing/0/0/0")
    assert unknown.returncode == 2
    assert "expected the id of a dead letter, got nothing/0/0/0" in unknown.stderr


def test_a_letter_that_failed_again_is_left_alone_and_one_that_was_taken_in_is_resolved(
    run: Run, settings: Settings, admin: AdminClient
) -> None:
    first = letter(settings, offset=30, event_index=-1, reason=ReasonCode.INTERNAL)
    second = letter(settings, offset=31, event_index=-1, reason=ReasonCode.INTERNAL)
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for _ in range(32):
            publisher.put(first.topic, b"42", RAW, 1, {})
        for one in (first, second):
            publisher.publish("telemetry.dlq", one.letter_id, one)
    assert json_of(run("dlq", "retry", "--all", "--reason", "internal", "--wait", "0", "--json"))["sent"] == 2
    offsets = {
        str(fields["origin_letter"], "utf-8"): int(message.offset() or 0)
        for message in read_topic(settings, "telemetry.raw")
        if "origin_letter" in (fields := dict(cast("list[tuple[str, bytes]]", message.headers() or [])))
    }
    again = msgspec.structs.replace(first, offset=offsets[first.letter_id], attempt=2)
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish("telemetry.dlq", again.letter_id, again)
    group = settings.topic_prefix + "penstock.ingest"
    place = TopicPartition(first.topic, 1, offsets[second.letter_id] + 1)
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [place])])[group].result(10)

    rows = {row["id"]: row for row in json_of(run("dlq", "list", "--reason", "internal", "--json"))["letters"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        first.letter_id: "retried",
        second.letter_id: "resolved",
        again.letter_id: "retried",
    }
    assert (rows[again.letter_id]["first"], rows[again.letter_id]["tries"]) == (first.letter_id, 2)
    assert rows[first.letter_id]["became"] == [again.letter_id]
    assert json_of(run("dlq", "retry", "--all", "--reason", "internal", "--json"))["sent"] == 0
    more = ("--reason", "internal", "--max-attempts", "3", "--dry-run", "--json")
    assert [row["id"] for row in json_of(run("dlq", "retry", "--all", *more))["letters"]] == [again.letter_id]

    assert json_of(run("dlq", "purge", "--all", "--reason", "internal", "--user", "7", "--json")) == {"purged": 0}
    assert json_of(run("dlq", "purge", again.letter_id, "--because", "known", "--json")) == {"purged": 1}
    assert [row["id"] for row in json_of(run("dlq", "list", "--state", "purged", "--json"))["letters"]] == [again.letter_id]
    assert json_of(run("dlq", "retry", "--all", *more))["letters"] == []


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_ids_and_names_of_topics_are_whole_however_narrow_the_terminal_is(run: Run, settings: Settings, columns: str) -> None:
    one = letter(settings, offset=1_000_000_041, event_index=999)
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish("telemetry.dlq", one.letter_id, one)
    assert any(line.startswith(f"{one.letter_id}  ") for line in run("dlq", "list", columns=columns).stdout.splitlines())
    shown = run("topics", "list", columns=columns).stdout
    assert "…" not in shown
    first_column = "".join(line.split("│")[1].strip() for line in shown.splitlines() if "│" in line)
    assert "".join(load_topics()) == first_column


def test_files_of_every_kind_are_sent_and_what_was_sent_is_told(run: Run, settings: Settings, tmp_path: Path) -> None:
    event = '"video_id": "v", "interaction_type": "like", "timestamp": 1700000000000'
    line = '{{"user_id": "42", "context": {{"region": "DE"}}, "events": [{{"event_id": "{0}", ' + event + "}}]}}"
    events, ids = tmp_path / "events.jsonl", tmp_path / "ids.txt"
    events.write_bytes(b"\xef\xbb\xbf" + f"{line.format('p1')}\r\n\r\n{line.format('p2')}\n{{bad}}\n{line.format('p3')}".encode())
    before = {(message.partition(), message.offset()) for message in read_topic(settings, "telemetry.raw")}
    stopped = run("produce", str(events), "--acknowledged", str(ids))
    assert stopped.returncode == 1
    assert "2 events acknowledged, 3 lines read, 0 lines skipped; stopped at line 4, nothing of it and behind it was sent" in stopped.stdout
    assert f"{events} line 4 $" in stopped.stderr
    assert ids.read_text().split() == ["p1", "p2"]
    skipped = json_of(run("produce", str(events), "--skip-bad", "--json"))
    assert (skipped["acknowledged"], skipped["lines"], skipped["bad"], skipped["stopped_at"]) == (3, 4, 1, None)
    sent = [one for one in read_topic(settings, "telemetry.raw") if (one.partition(), one.offset()) not in before]
    batches = [decode(TelemetryBatch, message.value() or b"") for message in sent]
    assert {batch.context for batch in batches} == {Context(region="DE")}

    for kind, topic, text in (
        ("catalogue", "catalog.items", '{"video_id": "v-7", "title": "A cat"}'),
        ("users", "users.records", '{"user_id": "42", "birth_year": 1990}'),
        ("history", "telemetry.history", '{"user_id": "42", "watched": ["v-7"]}'),
    ):
        file = tmp_path / f"{kind}.jsonl"
        file.write_text(text + "\n")
        assert json_of(run("produce", str(file), "--kind", kind, "--json"))["acknowledged"] == 1
        (record,) = read_topic(settings, topic)
        assert record.key() == (b"v-7" if kind == "catalogue" else b"42")
        assert json.loads(text).items() <= json.loads(record.value() or b"").items()
    assert run("produce", str(file), "--kind", "history", "--acknowledged", str(ids)).returncode == 2
    in_seconds = run("produce", "-", given=line.format("p5").replace("1700000000000", "1700000000"))
    assert in_seconds.returncode == 1
    assert "got 1700000000, which looks like seconds, at - line 1 $.events[0].timestamp" in in_seconds.stderr
    piped = run("produce", "-", "--json", given=line.format("p4"))
    assert json_of(piped)["acknowledged"] == 1


def test_an_operator_blocks_a_creator_and_sets_the_objective(run: Run) -> None:
    assert "creator 9 is blocked" in run("moderate", "creator", "9", "--block", "--reason", "spam").stdout
    assert "creator 9 is let back" in run("moderate", "creator", "9", "--unblock").stdout
    assert run("moderate", "creator", "9").returncode == 2
    known = run("moderate", "video", "v-7", "--block", "--reason", "[bold]")
    assert "the catalogue has no" not in known.stderr
    assert "the catalogue has no creator nope" in run("moderate", "creator", "nope", "--block").stderr
    assert [(one["kind"], one["id"]) for one in json_of(run("moderate", "list", "--json"))] == [("video", "v-7"), ("creator", "nope")]
    assert "[bold]" in run("moderate", "list").stdout
    for name in ("v-7", "nope"):
        run("moderate", "video" if name == "v-7" else "creator", name, "--unblock")
    said = run("topics", "tail", "control.moderation", "--from-beginning", "--json").stdout.splitlines()
    assert [(json.loads(line)["key"], json.loads(line)["value"]["blocked"]) for line in said[:2]] == [
        ("creator:9", True),
        ("creator:9", False),
    ]

    assert json_of(run("objective", "show", "--json"))["version"] == "initial"
    json_of(run("objective", "set", "--head", "long_view=1", "--head", "like=0.5", "--exploration", "0.1", "--json"))
    shown = json_of(run("objective", "show", "--json"))
    assert shown["heads"] == {"long_view": 1.0, "like": 0.5}
    assert shown["exploration_rate"] == 0.1
    assert run("objective", "set", "--head", "like").returncode == 2
    assert run("objective", "set", "--head", "florble=1").returncode == 2
    assert "a head with a weight above 0" in run("objective", "set", "--head", "negative=-1").stderr


def test_topics_are_planned_applied_and_listed(run: Run) -> None:
    assert json_of(run("topics", "plan", "--json")) == []
    assert "agrees" in run("topics", "apply").stdout
    assert [spec["name"] for spec in json_of(run("topics", "list", "--json"))] == list(load_topics())
    wrong = run("topics", "tail", "no.such")
    assert wrong.returncode == 2
    assert "penstock topics list" in wrong.stderr


def test_records_that_are_no_json_are_shown_all_the_same(run: Run, settings: Settings) -> None:
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        publisher.publish("feed.served", "1", b"\xff\x00")
        publisher.publish("feed.served", "1", None)
    lines = run("topics", "tail", "feed.served", "--from-beginning", "--max", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["value"] for line in lines] == [base64.b64encode(b"\xff\x00").decode(), None]


def test_contracts_are_exported(run: Run, tmp_path: Path) -> None:
    assert run("schema", "export", "--out", str(tmp_path)).returncode == 0
    assert json.loads((tmp_path / "FeedRequest.v1.json").read_text())["$id"] == "penstock.feed.request.v1"
    assert json.loads((tmp_path / "asyncapi.json").read_text())["asyncapi"] == "3.0.0"
    assert json_of(run("schema", "export")).keys() == {"schemas", "asyncapi"}


def test_a_broker_that_does_not_answer_is_an_error_without_a_traceback(settings: Settings) -> None:
    script = Path(sys.executable).with_name("penstock")
    env = {**os.environ, "PENSTOCK_HOME": str(settings.home), "PENSTOCK_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run([script, "dlq", "list"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "expected an answer from Kafka" in done.stderr
    assert "at 127.0.0.1:1;" in done.stderr
