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
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from schemas.dlq import DeadLetter, ReasonCode
from schemas.settings import Settings
from schemas.topics import load_topics
from serving.publisher import Publisher
from serving.records import read_records
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
        "COLUMNS": "200",
    }

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        script = Path(sys.executable).with_name("penstock")
        return subprocess.run([script, *words], env=env, capture_output=True, text=True, timeout=60, check=False)

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

    assert json_of(run("dlq", "retry", "--all", "--json")) == {"sent": 2, "left": []}
    sent = list(read_records(settings, "telemetry.raw"))
    assert [(message.partition(), message.key(), dict(message.headers() or [])) for message in sent] == [(1, b"42", {"attempt": b"2"})] * 2
    assert [message.value() for message in sent] == [b'{"user_id":"42","events":[{"event_id":"b"}]}', RAW]

    assert json_of(run("dlq", "retry", ids[1], "--json")) == {"sent": 1, "left": []}
    assert run("dlq", "retry").returncode == 2
    unknown = run("dlq", "show", "nothing/0/0/0")
    assert unknown.returncode == 2
    assert "expected the id of a dead letter, got nothing/0/0/0" in unknown.stderr


def test_an_operator_blocks_a_creator_and_sets_the_objective(run: Run) -> None:
    assert "creator 9 is blocked" in run("moderate", "creator", "9", "--block", "--reason", "spam").stdout
    assert "creator 9 is let back" in run("moderate", "creator", "9", "--unblock").stdout
    assert run("moderate", "creator", "9").returncode == 2
    said = run("topics", "tail", "control.moderation", "--from-beginning", "--json").stdout.splitlines()
    assert [(json.loads(line)["key"], json.loads(line)["value"]["blocked"]) for line in said] == [("creator:9", True), ("creator:9", False)]

    assert json_of(run("objective", "show", "--json"))["version"] == "initial"
    json_of(run("objective", "set", "--head", "long_view=1", "--head", "like=0.5", "--exploration", "0.1", "--json"))
    shown = json_of(run("objective", "show", "--json"))
    assert shown["heads"] == {"long_view": 1.0, "like": 0.5}
    assert shown["exploration_rate"] == 0.1
    assert run("objective", "set", "--head", "like").returncode == 2


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
