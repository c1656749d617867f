"""What README and docs say is so: links, commands, settings, metrics, messages and tables are as the code has them; examples run."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main

from operators.chain import feed_pipeline
from schemas.codec import decode, encode
from schemas.registry import MESSAGES
from schemas.settings import Settings
from schemas.topics import load_topics
from serving.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
EVERYTHING = "\n".join(TEXTS.values())
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = "docs/add-an-operator.md"
OUTSIDE_SETTINGS = {"PENSTOCK_DATA"}


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return [text for found, text in BLOCK.findall(TEXTS[page]) if found == kind]


def commands() -> Iterator[str]:
    """Every `penstock ...` that a page names, in a fenced block or in backticks, without its comment."""
    for text in TEXTS.values():
        fenced = [line for _, block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
        for line in (*fenced, *inline):
            found = re.match(r"(?:\S*/)?penstock ([a-z][^#|]*)", line.strip().removeprefix("$ "))
            if found:
                yield found[1].strip()


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose header begins with a cell."""
    table = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", TEXTS[page], re.MULTILINE)
    assert table is not None, first
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 120


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_command_is_as_it_is_written(line: str) -> None:
    words = line.split()
    assert words[0] in COMMANDS
    command: Any = typer.main.get_command(import_module(COMMANDS[words[0]].module).app)
    if isinstance(command, typer.core.TyperGroup) and words[0] in command.commands:
        command = command.commands[words[0]]
    if isinstance(command, typer.core.TyperGroup) and len(words) > 1 and "|" not in words[1]:
        assert words[1] in command.commands
        command = command.commands[words[1]]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-") and len(word) > 1} <= options | {"--help"}


def test_make_targets_settings_and_metrics_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", EVERYTHING)) | set(re.findall(r"^make (\w+)", EVERYTHING, re.MULTILINE)) <= targets
    settings = {f"PENSTOCK_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"PENSTOCK_[A-Z_]+[A-Z]", EVERYTHING)) <= settings | OUTSIDE_SETTINGS
    code = "\n".join(path.read_text() for path in (ROOT / "dataflows").glob("*.py"))
    for name in set(re.findall(r"\bpenstock_([a-z_]+)", EVERYTHING)):
        stem = name.removesuffix("_total")
        assert f'"{stem}"' in code or f'"penstock_{stem}"' in code, name


def test_the_table_of_topics_is_topics_yaml() -> None:
    written = {row[0]: row[1:5] for row in rows("docs/contracts.md", "topic")}
    assert written == {
        spec.name: [
            spec.key.replace("|", "or"),
            spec.schema,
            str(spec.partitions),
            f"{spec.cleanup} {spec.retention or spec.min_compaction_lag}",
        ]
        for spec in load_topics().values()
    }


def test_messages_in_the_contracts_decode_and_leave_nothing_out() -> None:
    named = re.findall(r"^<!-- (\w+) -->\n```json\n(.*?)^```$", TEXTS["docs/contracts.md"], re.MULTILINE | re.DOTALL)
    assert len(named) == len(blocks("docs/contracts.md", "json"))
    for kind, text in named:
        message = decode(MESSAGES[kind], text.encode())
        assert decode(dict, text.encode()).keys() <= decode(dict, encode(message)).keys() | set(MESSAGES[kind].__struct_fields__)


def test_bounds_are_those_of_the_code() -> None:
    for name, parameter, value, *_ in rows("docs/picture.md", "class"):
        module, _, kind = name.rpartition(".")
        default = inspect.signature(getattr(import_module(module), kind)).parameters[parameter].default
        assert str(default) == value.replace(",", ""), f"{name} {parameter}"


def test_every_source_and_reason_of_the_feed_is_explained() -> None:
    pipeline = feed_pipeline()
    assert [row[0] for row in rows("docs/picture.md", "source")] == list(pipeline.source_names)
    assert [row[0] for row in rows("docs/picture.md", "reason")] == list(pipeline.reasons)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with everything that the worked examples add and change."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("dataflows", "operators", "schemas", "serving", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "integration", "chaos"))
    for name in ("pyproject.toml", "topics.yaml"):
        shutil.copy(ROOT / name, root)
    for text in blocks(EXAMPLES, "python"):
        file = root / text.splitlines()[0].removeprefix("# ")
        assert not file.exists(), file
        file.write_text(text, encoding="utf-8")
    for text in blocks(EXAMPLES, "yaml"):
        file = root / text.splitlines()[0].removeprefix("# ")
        file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    for text in blocks(EXAMPLES, "diff"):
        change(root, text)
    return root


def change(root: Path, diff: str) -> None:
    """Apply a block of changes to the file that its first line names."""
    head, _, hunks = diff.partition("\n")
    file = root / head.removeprefix("# ")
    for hunk in hunks.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] != mark) for mark in "+-")
        before = file.read_text(encoding="utf-8")
        assert before.count(old) == 1, f"{file.name}: {old}"
        file.write_text(before.replace(old, new), encoding="utf-8")


def test_the_worked_examples_keep_the_contracts_and_pass_their_own_tests(extended: Path) -> None:
    added = [text.splitlines()[0].removeprefix("# ") for text in blocks(EXAMPLES, "python")]
    tests = [path for path in added if path.startswith("tests/")]
    contracts = ["tests/operators/test_contract.py", "tests/operators/test_stage_contracts.py", "tests/schemas/test_topics.py"]
    words = ["-m", "pytest", "-v", "-p", "no:cacheprovider", *tests, *contracts, "-k", "not test_contract or SkipStreaks"]
    done = subprocess.run([sys.executable, *words], cwd=extended, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    examples = ("test_three_skips_in_a_row", "test_what_is_too_long_goes", "test_short_videos_are_found")
    for name in ("SkipStreaks-survives_a_crash_at_every_event-2", *examples):
        assert name in done.stdout


def test_the_flow_of_the_worked_example_uses_what_a_part_has(extended: Path) -> None:
    program = (
        "from unittest.mock import create_autospec\n"
        "from dataflows.kafka import Shutdown\n"
        "from dataflows.part import Part\n"
        "from dataflows.streaks import flow\n"
        "from schemas.settings import Settings\n"
        "part = create_autospec(Part, instance=True, settings=Settings(), shutdown=Shutdown())\n"
        "part.topic.side_effect = str\n"
        "print(flow(part).flow_id)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=extended, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "streaks\n", done.stderr
