"""`penstock models`, with topics that hold what is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.base import Message
from schemas.codec import encode
from schemas.learning import DriftAlarm, LearningMetrics
from schemas.settings import Settings
from serving.cli import main

TREE = "river.tree.HoeffdingTreeClassifier"


class Record:
    """A record of a topic."""

    def __init__(self, value: bytes) -> None:
        self.value = lambda: value
        self.topic = self.partition = self.offset = lambda: 0


def metrics(**more: Any) -> LearningMetrics:
    given = {"model": "online", "head": "like", "as_of_ms": 1, "window": 10, "examples": 1_000, "positives": 3, "auc": 0.75}
    return LearningMetrics(**{**given, "log_loss": 0.25, "calibration": 1.01, **more})


def alarm(**more: Any) -> DriftAlarm:
    given = {"model": "online", "head": "like", "detector": "ADWIN", "at_ms": 1_700_000_000_000, "examples": 500}
    return DriftAlarm(**{**given, "before": 0.02, "after": 0.05, **more})


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Message | bytes]]:
    held: dict[str, list[Message | bytes]] = {"learning.metrics": [], "learning.drift": []}

    def read(_settings: Settings, topic: str, *, last: int) -> Iterator[Record]:
        for one in held[topic][-last:]:
            yield Record(one if isinstance(one, bytes) else encode(one))

    monkeypatch.setattr("serving.cli.models.connected_settings", Settings)
    monkeypatch.setattr("serving.cli.models.read_topic", read)
    monkeypatch.setattr("serving.cli.output.console._width", 200)
    return held


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["models", *words])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_newest_figures_of_champion_and_challenger_stand_beside_each_other(
    topics: dict[str, list[Message | bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    beside: dict[str, Any] = {"model": "challenger", "estimator": TREE, "sampled": 0.25, "champion_auc": 0.7, "champion_log_loss": 0.31}
    topics["learning.metrics"] += [metrics(auc=0.5), b"no json", metrics(**beside, auc=0.8125), metrics(auc=0.6875)]
    topics["learning.drift"] += [alarm(after=0.9, examples=400), alarm(), alarm()]
    shown = said(capsys)
    champion, challenger = (next(line for line in shown.splitlines() if name in line) for name in ("online", TREE))
    assert "0.6875" in champion and "0.5000" not in shown
    assert all(text in challenger for text in ("0.8125", "0.7000", "0.3100", "25%"))
    assert "loss of head like rose at 2023-11-14 22:13:20Z: 0.0200 before, 0.0500 after (ADWIN)" in shown
    told = json.loads(said(capsys, "--json"))
    assert [(one["model"], one["auc"]) for one in told["metrics"]] == [("online", 0.6875), ("challenger", 0.8125)]
    assert [one["examples"] for one in told["drift"]] == [400, 500]


def test_a_challenger_that_is_off_says_why_and_shows_no_figures(
    topics: dict[str, list[Message | bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    off = "its models take 17 [bytes]"
    none = {"window": 0, "examples": 0, "positives": 0, "auc": None, "log_loss": 0.0, "calibration": 0.0}
    topics["learning.metrics"].append(metrics(model="challenger", estimator=TREE, off=off, **none))
    topics["learning.drift"].append(alarm(before=0.5, after=0.25))
    shown = said(capsys)
    assert f"{TREE} is switched off: {off}" in shown and "0.0000" not in shown
    assert "loss of head like fell at" in shown


def test_without_records_there_is_an_empty_table(topics: dict[str, list[Message | bytes]], capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "--json")) == {"metrics": [], "drift": []}
    assert "AUC" in said(capsys)
