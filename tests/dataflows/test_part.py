"""The shell of a part, run as the supervisor runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dataflows.part import Part
from schemas.settings import Settings

PARTS = Path(__file__).resolve().parents[1] / "parts"
Run = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def prefix(admin: AdminClient) -> str:
    """A prefix under which telemetry.raw exists."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    make_raw(admin, prefix)
    return prefix


@pytest.fixture
def run(tmp_path: Path, kafka: str) -> Iterator[Run]:
    """Start tiny_steady; it is killed after the test when it still runs."""
    started: list[subprocess.Popen[bytes]] = []

    def go(prefix: str, **extra: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PENSTOCK_HOME": str(tmp_path), "PENSTOCK_BOOTSTRAP_SERVERS": kafka, "PENSTOCK_TOPIC_PREFIX": prefix, **extra}
        command = [sys.executable, str(PARTS / "tiny_steady.py")]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.wait()


def make_raw(admin: AdminClient, prefix: str) -> None:
    name = f"{prefix}telemetry.raw"
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(timeout=30)


def lines(home: Path) -> list[dict[str, Any]]:
    log = home / "logs" / "steady.log"
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")] if log.exists() else []


def said(home: Path, event: str) -> list[dict[str, Any]]:
    return [line for line in lines(home) if line["event"] == event]


def eventually(what: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def metrics(home: Path) -> dict[str, float]:
    port = int((home / "run" / "steady.port").read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in (line.split(" ") for line in text.splitlines() if line[0] != "#" and "{" not in line)}


def test_a_part_is_ready_shows_its_metrics_and_ends_cleanly_on_sigterm(run: Run, prefix: str, tmp_path: Path) -> None:
    process = run(prefix)
    eventually(lambda: bool(said(tmp_path, "ready")))
    eventually(lambda: metrics(tmp_path)["penstock_processed_total"] > 0)
    shown = metrics(tmp_path)
    assert shown["penstock_ready"] == 1.0
    assert shown["penstock_lag"] == 7.0
    assert abs(shown["penstock_last_progress_seconds"] - time.time()) < 5.0
    assert shown["process_resident_memory_bytes"] > 0

    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert said(tmp_path, "ended")
    assert not (tmp_path / "run" / "steady.port").exists()
    (library,) = said(tmp_path, "said by a library")
    assert (library["level"], library["logger"]) == ("warning", "some.library")


def test_after_kill_9_a_part_goes_on_from_its_last_snapshot(run: Run, prefix: str, tmp_path: Path) -> None:
    process = run(prefix)
    eventually(lambda: bool(said(tmp_path, "counting on")))
    time.sleep(1.0)
    process.kill()
    process.wait()

    run(prefix)
    eventually(lambda: len(said(tmp_path, "counting on")) == 2)
    first, second = (line["after"] for line in said(tmp_path, "counting on"))
    assert first == 0
    assert second > 10
    folder = tmp_path / "recovery" / "steady"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}


def test_an_error_is_one_line_with_its_root_cause_and_the_exit_code_is_1(run: Run, prefix: str, tmp_path: Path) -> None:
    assert run(prefix, TINY_FAIL_AT="5").wait(timeout=20) == 1
    (line,) = said(tmp_path, "ended by an error")
    assert line["error"] == "ValueError: counted to 5"
    assert "Traceback" in line["exception"]


def test_a_part_waits_for_a_topic_that_is_not_there_yet(run: Run, admin: AdminClient, tmp_path: Path) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    run(prefix)
    eventually(lambda: bool(said(tmp_path, "topics are missing, waiting")))
    assert said(tmp_path, "topics are missing, waiting")[0]["missing"] == [f"{prefix}telemetry.raw"]
    assert metrics(tmp_path)["penstock_ready"] == 0.0

    make_raw(admin, prefix)
    eventually(lambda: bool(said(tmp_path, "ready")))


def test_a_part_waits_for_a_broker_that_is_not_there_and_still_ends_on_sigterm(run: Run, tmp_path: Path) -> None:
    process = run("", PENSTOCK_BOOTSTRAP_SERVERS="127.0.0.1:1")
    eventually(lambda: bool(said(tmp_path, "broker does not answer, waiting")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_records_are_progress_and_the_rest_is_counted_by_name(tmp_path: Path) -> None:
    part = Part("some", Settings(home=tmp_path))
    count = part.count_by(part.counter("outcomes", "What became of them.", ["what"]))
    count("records", 3)
    count("bad", 2)
    assert part.registry.get_sample_value("penstock_processed_total") == 3
    assert part.registry.get_sample_value("penstock_outcomes_total", {"what": "bad"}) == 2
