"""What README and docs say is so: links, commands, settings, metrics, messages and tables are as the code has them; examples run."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import typer.core
import typer.main

from dataflows.kafka import Shutdown
from dataflows.part import Part
from operators.chain import feed_pipeline
from operators.checks import checks_of
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
    for name in set(re.findall(r"\bpenstock_([a-z_]+)", EVERYTHING)) - {"streaks_undecodable_total"}:
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


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The modules of the worked example, written to files and imported under their own names, in the order of the page."""
    made: dict[str, Any] = {}
    for text in blocks("docs/add-an-operator.md", "python"):
        path = text.splitlines()[0].removeprefix("# ")
        assert not (ROOT / path).exists(), path
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        package, _, name = path.removesuffix(".py").replace("/", ".").rpartition(".")
        parent = import_module(package)
        if str(file.parent) not in parent.__path__:
            monkeypatch.setattr(parent, "__path__", [*parent.__path__, str(file.parent)])
        made[path] = import_module(f"{package}.{name}")
    yield made
    for module in made.values():
        package, _, name = module.__name__.rpartition(".")
        delattr(sys.modules[package], name)
        del sys.modules[module.__name__]


def test_the_worked_example_keeps_the_contracts_and_passes_its_own_tests(example: dict[str, Any], tmp_path: Path) -> None:
    operator = example["operators/profiles/streaks.py"].SkipStreaks
    assert [check() for _, check in checks_of(operator)]
    tests = [
        one for path, module in example.items() if path.startswith("tests/") for name, one in vars(module).items() if name[:5] == "test_"
    ]
    assert len(tests) == 3
    for one in tests:
        one(tmp_path) if inspect.signature(one).parameters else one()


def test_the_flow_of_the_worked_example_is_made_of_what_a_part_has(example: dict[str, Any], tmp_path: Path) -> None:
    part = create_autospec(Part, instance=True, settings=Settings(home=tmp_path), shutdown=Shutdown())
    part.topic.side_effect = lambda name: name
    assert example["dataflows/streaks.py"].flow(part).flow_id == "streaks"
    part.watch_lag.assert_called_once()


def test_the_changes_of_the_worked_example_fit_the_files_as_they_are() -> None:
    for text in blocks("docs/add-an-operator.md", "diff"):
        head, *lines = text.splitlines()
        file = (ROOT / head.removeprefix("# ")).read_text(encoding="utf-8")
        for line in lines:
            assert line[0] == "+" or f"{line[1:]}\n" in file, line
