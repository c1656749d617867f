"""Where a command finds the system: never by a guess, and never against what the home says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from serving.connect import connected_settings, current_settings
from serving.errors import ConfigError, ServiceError
from serving.local import Home
from serving.parts import PartSpec, Plan, environment, write_plan
from serving.reach import require_redis
from serving.state import SystemState, write_state

VARIABLES = ("PENSTOCK_BOOTSTRAP_SERVERS", "PENSTOCK_REDIS_URL", "PENSTOCK_TOPIC_PREFIX")
PLAN = Plan(
    bootstrap_servers="10.0.0.1:9092",
    redis_url="redis://10.0.0.2:6379/1",
    kafka_port=None,
    redis_port=None,
    parts=(),
    topic_prefix="other.",
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """A home of its own, and nothing in the environment."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path).create()


def running(home: Home) -> None:
    """Leave what a running system leaves."""
    write_plan(home, PLAN)
    write_state(home, SystemState(bootstrap_servers="10.0.0.1:9092", redis_url=PLAN.redis_url, parts=[], at_ms=1, topic_prefix="other."))


def test_a_home_where_nothing_runs_is_not_another_ones_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="expected a running system, got none"):
        current_settings()
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "10.0.0.1:9092")
    assert current_settings().bootstrap_servers == "10.0.0.1:9092"


def test_addresses_and_prefix_come_from_the_home(home: Home) -> None:
    running(home)
    found = current_settings()
    assert (found.bootstrap_servers, found.redis_url, found.topic_prefix) == ("10.0.0.1:9092", "redis://10.0.0.2:6379/1", "other.")


@pytest.mark.parametrize(
    ("variable", "said", "known"),
    [
        ("PENSTOCK_TOPIC_PREFIX", "mine.", "other."),
        ("PENSTOCK_TOPIC_PREFIX", "", "other."),
        ("PENSTOCK_BOOTSTRAP_SERVERS", "10.9.9.9:9092", "10.0.0.1:9092"),
        ("PENSTOCK_REDIS_URL", "redis://10.9.9.9:6379/0", "redis://10.0.0.2:6379/1"),
    ],
)
def test_an_environment_that_says_otherwise_is_an_error_that_names_both(
    home: Home, monkeypatch: pytest.MonkeyPatch, variable: str, said: str, known: str
) -> None:
    running(home)
    monkeypatch.setenv(variable, known)
    current_settings()
    monkeypatch.setenv(variable, said)
    with pytest.raises(ConfigError) as caught:
        current_settings()
    assert repr(known) in caught.value.expected
    assert caught.value.got == f"{variable}={said!r}"


def test_the_prefix_of_a_system_that_is_down_is_remembered_for_its_broker_only(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(home, PLAN)
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", PLAN.bootstrap_servers)
    assert current_settings().topic_prefix == "other."
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "10.9.9.9:9092")
    assert current_settings().topic_prefix == ""


def test_parts_are_told_the_prefix_of_the_plan_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    monkeypatch.setenv("PENSTOCK_TOPIC_PREFIX", "mine.")
    assert environment(PLAN, PartSpec("ingest", "dataflows.ingest"), home.root)["PENSTOCK_TOPIC_PREFIX"] == "other."


def test_a_wrong_address_is_named_within_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://me:secret@127.0.0.1:1/0")
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"expected an answer from Kafka, got .*, at 127\.0\.0\.1:1"):
        connected_settings()
    with pytest.raises(ServiceError, match=r"expected an answer from Redis, got .*refused.*, at redis://127\.0\.0\.1:1/0") as caught:
        require_redis(current_settings(), do="start it")
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 5.0
