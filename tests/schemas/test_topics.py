from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.registry import MESSAGES
from schemas.topics import duration_ms, load_parts, load_topics, topics_file

ROOT = Path(__file__).resolve().parents[2]
ENTRY = """
version: 1
topics:
  - name: a.b
    about: x
    key: y
    schema: Event
    partitions: 1
    cleanup: delete
    producers: [p]
    consumers: [c]
"""


def literals() -> Iterator[tuple[Path, str]]:
    """Every string in the programs that looks like a topic's name."""
    families = {name.partition(".")[0] for name in load_topics()}
    looks = re.compile(rf"^({'|'.join(sorted(families))})\.[a-z]+$")
    for folder in ("dataflows", "operators", "serving"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and looks.match(node.value):
                    yield path.relative_to(ROOT), node.value


def test_every_topic_has_a_schema() -> None:
    assert {spec.schema for spec in load_topics().values()} <= MESSAGES.keys()


def test_every_topic_that_a_program_names_is_in_the_file() -> None:
    unknown = {(str(path), name) for path, name in literals() if name not in load_topics()}
    assert not unknown


def test_every_topic_in_the_file_is_named_by_a_program() -> None:
    assert load_topics().keys() - {name for _, name in literals()} == set()


def test_side_topics_keep_their_order_and_their_history() -> None:
    for spec in load_topics().values():
        if spec.cleanup == "compact":
            assert duration_ms(spec.min_compaction_lag or "0s") >= 86_400_000, spec.name
            assert spec.partitions == 1 or spec.name in {"telemetry.history", "users.records"}, spec.name
        else:
            assert spec.retention is not None, spec.name


def test_the_broker_stamps_every_record() -> None:
    assert all(spec.config()["message.timestamp.type"] == "LogAppendTime" for spec in load_topics().values())


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("partitions: 1", "partitions: 0", "topics.0..partitions|partitions"),
        ("cleanup: delete", "cleanup: burn", "Invalid enum value 'burn'"),
        ("cleanup: delete", "cleanup: delete\n    retention: 7 days", "expected a duration such as 24h, got '7 days'"),
        ("about: x", "about: x\n    wrong: y", "unknown field `wrong`"),
        ("name: a.b", "name: A", "matching regex"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(ENTRY.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        load_topics(path)


def test_a_topic_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "topics.yaml"
    entry = ENTRY.partition("topics:\n")[2]
    path.write_text(ENTRY + entry.lstrip("\n"))
    with pytest.raises(ValueError, match="expected each name once"):
        load_topics(path)


PART = """
parts:
  - name: a
    module: dataflows.a
    scale: one
    why: because
    memory_mb: 1
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("scale: one", "scale: many", "Invalid enum value 'many'"),
        ("why: because", "why: ''", "expected a reason, and 1 worker, of a part of scale one"),
        ("why: because", "why: because\n    workers: 2", "expected a reason, and 1 worker, of a part of scale one"),
        ("scale: one", "scale: shards", "of a part of scale one and of no other, got shards, at a"),
        ("memory_mb: 1", "memory_mb: 1\n    wrong: y", "unknown field `wrong`"),
        ("  - name: a", "  - {name: a, module: b, scale: group, memory_mb: 1}\n  - name: a", "expected each name once"),
    ],
)
def test_a_wrong_table_of_parts_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(ENTRY + PART.lstrip("\n"))
    assert list(load_parts(path)) == ["a"]
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(ENTRY + PART.lstrip("\n").replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        load_parts(wrong)


def test_every_part_is_a_program_and_every_program_a_part_and_reads_or_writes_a_topic() -> None:
    programs = {path.stem for path in (ROOT / "dataflows").glob("*.py") if "def main() -> None" in path.read_text(encoding="utf-8")}
    parts = load_parts()
    assert {part.module for part in parts.values()} <= {f"dataflows.{name}" for name in programs}
    assert parts.keys() == {name for spec in load_topics().values() for name in (*spec.producers, *spec.consumers)} & programs


def test_the_file_is_found() -> None:
    assert topics_file() == ROOT / "topics.yaml"
