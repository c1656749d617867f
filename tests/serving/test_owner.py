"""Whose the topics are, as far as it can be told without a broker."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from schemas.settings import Settings
from serving.errors import ConfigError
from serving.local import Home
from serving.owner import SILENT_AFTER_S, Owner, own_record, refuse_second, system_id

SETTINGS = Settings(bootstrap_servers="127.0.0.1:1", topic_prefix="p.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def refused(monkeypatch: pytest.MonkeyPatch, home: Home, owner: Owner | None, *, take_over: bool = False) -> str:
    """Start where the topics are this owner's, and return why that is refused, nothing if it is not."""
    monkeypatch.setattr("serving.owner.newest_owner", lambda _settings: owner)
    try:
        refuse_second(SETTINGS, home, take_over=take_over)
    except ConfigError as error:
        return str(error)
    return ""


def owner(home: Home, *, age_s: float = 0.0, running: bool = True) -> Owner:
    """What this home's system has written so long ago."""
    return Owner(own_record(home, up_since_ms=0, running=running), int((time.time() - age_s) * 1_000))


def test_the_id_of_a_home_is_made_once(home: Home, tmp_path: Path) -> None:
    assert system_id(home) == system_id(home)
    assert system_id(home) != system_id(Home(tmp_path / "other").create())


def test_ones_own_topics_and_topics_of_nobody_are_taken(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    for own in (None, owner(home), owner(home, running=False), owner(home, age_s=1e6)):
        assert refused(monkeypatch, home, own) == ""


@pytest.mark.parametrize(
    ("age_s", "running", "how", "may_be_taken_over"),
    [
        (0.0, True, "which runs", False),
        (SILENT_AFTER_S + 5, True, "which was last heard of 25 s ago", True),
        (0.0, False, "which is down", True),
    ],
)
def test_topics_of_another_are_refused_and_taken_over_only_when_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, home: Home, tmp_path: Path, *, age_s: float, running: bool, how: str, may_be_taken_over: bool
) -> None:
    other = Home(tmp_path / "other").create()
    theirs = owner(other, age_s=age_s, running=running)
    why = refused(monkeypatch, home, theirs)
    assert how in why
    assert f"home {other.root}" in why
    assert "at p.control.system on 127.0.0.1:1" in why
    assert "PENSTOCK_TOPIC_PREFIX" in why
    assert "--take-over" in why
    assert bool(refused(monkeypatch, home, theirs, take_over=True)) != may_be_taken_over


def test_a_copy_of_a_home_is_another_system_while_the_first_runs(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    record = msgspec.structs.replace(own_record(home, up_since_ms=0), home="/somewhere/else")
    now_ms = int(time.time() * 1_000)
    assert "which runs" in refused(monkeypatch, home, Owner(record, now_ms))
    assert refused(monkeypatch, home, Owner(record, now_ms - 60_000)) == ""
