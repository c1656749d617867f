"""Which processes there are: the table of topics.yaml, unfolded into workers."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from dataflows.label_shards import Owned
from schemas.topics import PartDeclaration, load_parts, load_topics
from serving import parts as parts_module
from serving.errors import ConfigError
from serving.local import Home
from serving.parts import PartSpec, Plan, choose_parts, environment, parse_workers, read_plan, workers_by_part, write_plan

ROOT = Path(__file__).resolve().parents[2]
SPREAD = PartDeclaration(name="spread", module="dataflows.spread", scale="shards", memory_mb=1)


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has one more part, which is split into the four partitions of what it reads."""
    table = {**load_parts(), "spread": SPREAD}
    monkeypatch.setattr(parts_module, "load_parts", lambda: table)
    monkeypatch.setattr(parts_module, "most_workers", lambda _: 4)


def test_where_nobody_says_otherwise_there_are_as_many_processes_as_the_table_says() -> None:
    assert workers_by_part(choose_parts(workers={})) == {name: part.workers for name, part in load_parts().items()}


def test_the_setting_says_how_many_where_the_command_line_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS_OF", "feed=5")
    assert workers_by_part(choose_parts())["feed"] == 5
    assert workers_by_part(choose_parts(workers=parse_workers("feed=3")))["feed"] == 3


@pytest.mark.usefixtures("spread")
def test_workers_of_shards_know_which_of_how_many_they_are_and_one_alone_has_its_plain_name() -> None:
    assert choose_parts(only=["spread"]) == (PartSpec("spread", "dataflows.spread", part="spread"),)
    two = choose_parts(workers={"spread": 2}, only=["spread"])
    assert [(one.name, one.part, one.worker, one.workers) for one in two] == [("spread-0", "spread", 0, 2), ("spread-1", "spread", 1, 2)]


def test_members_of_a_group_are_numbered_and_the_same_however_many_there_are() -> None:
    one, three = choose_parts(workers={"feed": 1}, only=["feed"]), choose_parts(workers={"feed": 3}, only=["feed"])
    assert [part.name for part in three] == ["feed-0", "feed-1", "feed-2"]
    assert three[:1] == one


@pytest.mark.usefixtures("spread")
@pytest.mark.parametrize(
    ("workers", "complaint"),
    [
        ({"trending": 2}, "expected 1 worker of trending, got 2, at --workers .*; leave it out: a list ranks the videos of all partitions"),
        ({"learning": 0}, "expected 1 worker of learning, got 0"),
        ({"feed": 0}, "expected at least 1 worker of feed, got 0"),
        ({"spread": 5}, "expected 1 to 4 workers of spread, got 5, at .*; a worker owns one partition at least"),
        ({"spread": 0}, "expected 1 to 4 workers of spread, got 0"),
        ({"florble": 1}, "expected some of ingest, .*, got florble, at --workers"),
    ],
)
def test_a_number_that_a_part_cannot_have_is_refused_with_the_reason(workers: dict[str, int], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        choose_parts(workers=workers)


@pytest.mark.parametrize(("served", "events", "most"), [(4, 4, 4), (4, 8, 4), (16, 16, 16), (64, 32, 16), (6, 4, 2)])
def test_as_many_workers_of_labels_are_allowed_as_labels_itself_takes(
    served: int, events: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = {"feed.served": served, "telemetry.events": events}
    table = {name: msgspec.structs.replace(spec, partitions=partitions.get(name, 1)) for name, spec in load_topics().items()}
    monkeypatch.setattr(parts_module, "load_topics", lambda: table)
    assert len(choose_parts(workers={"labels": most}, only=["labels"])) == most
    assert all(Owned(partitions, worker=worker, workers=most).shards for worker in range(most))
    with pytest.raises(ConfigError, match=f"expected 1 to {most} workers of labels, got {most + 1}"):
        choose_parts(workers={"labels": most + 1}, only=["labels"])
    with pytest.raises(ValueError, match=f"at most {most} workers"):
        Owned(partitions, worker=0, workers=most + 1)


@pytest.mark.parametrize("text", ["feed", "feed=", "feed=two", "=2", "feed=-1", "feed=2,feed=3", "feed=1.5"])
def test_what_is_no_number_of_workers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected PART=NUMBER"):
        parse_workers(text)
    assert parse_workers("") == {}


def test_a_process_finds_its_number_in_its_environment_and_a_plan_keeps_it(tmp_path: Path) -> None:
    spec = PartSpec("labels-1", "dataflows.labels", part="labels", worker=1, workers=2)
    plan = Plan(bootstrap_servers="b", redis_url="r", kafka_port=None, redis_port=None, parts=(spec,))
    found = environment(plan, spec, tmp_path)
    assert (found["PENSTOCK_PART"], found["PENSTOCK_WORKER"], found["PENSTOCK_WORKERS"]) == ("labels-1", "1", "2")
    home = Home(tmp_path).create()
    write_plan(home, plan)
    assert read_plan(home) == plan


def test_the_folders_that_programs_keep_state_in_are_in_the_table_and_wiped_with_the_topics(tmp_path: Path) -> None:
    programs = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dataflows").glob("*.py"))
    named = set(re.findall(r'home / "([a-z]+)"', programs)) - {"logs", "run"}
    declared = {name for part in load_parts().values() for name in part.folders}
    assert declared == named >= {"pages", "recovery"}
    assert declared <= {folder.name for folder in Home(tmp_path).of_parts()}
