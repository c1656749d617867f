"""What parts were told is remembered, and what another `up` would tell them is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.settings import Settings
from serving.part_settings import GIVEN, SECRET, differences, remembered
from serving.parts import PartSpec, Plan, environment

PARTS = (PartSpec("ingest", "dataflows.ingest"),)


def running(settings: dict[str, str], redis_url: str = "redis://a:b@r:1/0") -> Plan:
    return Plan(bootstrap_servers="k:1", redis_url=redis_url, kafka_port=None, redis_port=None, parts=PARTS, settings=settings)


def others(plan: Plan, settings: dict[str, str], **changed: object) -> list[str]:
    wanted = {"parts": PARTS, "bootstrap_servers": "k:1", "redis_url": "redis://a:b@r:1/0", **changed}
    return differences(plan, settings=settings, **wanted)  # type: ignore[arg-type]


def with_secret(name: str, secret: str) -> Settings:
    return Settings().model_copy(update={name: SecretStr(secret)})


VALID = {
    "security_protocol": "SSL",
    "sasl_mechanism": "PLAIN",
    "default_age": "21",
    "drift_detector": "none",
    "drift_params": '{"delta": 0.1}',
    "challenger": "river.tree.HoeffdingTreeClassifier",
    "challenger_params": '{"grace_period": 100}',
    "challenger_share": "0.5",
}
"""A value of each setting that does not take 86000."""


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - GIVEN - SECRET))
def test_every_setting_that_the_supervisor_does_not_give_itself_is_remembered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = remembered(Settings(), salt="")
    assert set(before) == set(Settings.model_fields) - GIVEN
    monkeypatch.setenv(f"PENSTOCK_{name.upper()}", VALID.get(name, "86000"))
    now = remembered(Settings(), salt="")
    assert others(running(before), now) == [f"PENSTOCK_{name.upper()}={before[name]!r} (now {now[name]!r})"]


def test_what_is_not_remembered_the_supervisor_gives_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"PENSTOCK_{name.upper()}" for name in GIVEN - {"workers_of"}}
    for name in names:
        monkeypatch.setenv(name, "of the shell")
    found = environment(running({}), PARTS[0], tmp_path)
    assert {name for name in names if found[name] == "of the shell"} == set()


@pytest.mark.parametrize("name", sorted(SECRET))
def test_a_secret_is_named_and_never_written_or_shown(name: str) -> None:
    before, now = (remembered(with_secret(name, secret), salt="s") for secret in ("swordfish", "marlin"))
    assert "swordfish" not in str(before)
    assert remembered(with_secret(name, "swordfish"), salt="another home") != before
    assert others(running(before), before) == []
    assert others(running(before), now) == [f"another PENSTOCK_{name.upper()}"]
    assert others(running(before), remembered(Settings(), salt="s")) == [f"another PENSTOCK_{name.upper()}"]


def test_services_and_parts_that_differ_are_named_without_passwords() -> None:
    assert others(running({}), {}, bootstrap_servers=None) == ["--bootstrap-servers k:1 (now none)"]
    assert others(running({}), {}, redis_url="redis://a:b@q:1/0") == ["--redis-url redis://r:1/0 (now redis://q:1/0)"]
    assert others(running({}), {}, redis_url="redis://a:c@r:1/0") == ["another user or password in --redis-url"]
    assert others(running({}), {}, parts=()) == ["the parts ingest (now none)"]


def test_a_plan_of_an_older_release_says_nothing_of_settings_that_it_does_not_know() -> None:
    assert others(running({}), remembered(Settings(default_age=3), salt="")) == []
