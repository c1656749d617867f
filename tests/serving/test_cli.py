"""The command line itself: help, errors, exit codes."""

from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
import typer.main
from rich.console import Console

from schemas.feed import FeedItem, FeedResponse, Level
from serving.cli import COMMANDS, main
from serving.cli import feed as cli_feed
from serving.cli.output import as_expected
from serving.cli.system import table
from serving.errors import ConfigError, ServiceError
from serving.state import PartState, SystemState


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_help_names_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    heavy = "import sys; from serving.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nassert 'typer' not in sys.modules"
    subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    found = typer.main.get_command(importlib.import_module(COMMANDS[name].module).app)
    if isinstance(found, typer.core.TyperGroup) and name in found.commands:
        found = found.commands[name]
    leaves = list(found.commands.values()) if isinstance(found, typer.core.TyperGroup) else [found]
    for leaf in leaves:
        assert leaf.help, f"{name} {leaf.name}"
        assert "penstock " in f"{leaf.epilog} {leaf.help}", f"{name} {leaf.name}"


def test_an_unknown_command_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("florble") == 2
    assert "expected a command, got florble" in capsys.readouterr().err


def test_a_wrong_option_is_an_error_of_usage() -> None:
    assert run("status", "--florble") == 2
    assert run("up", "--workers", "feed=0") == 2
    assert run("up", "--only", "florble") == 2
    assert run("up", "--fresh", "--redis-url", "redis://127.0.0.1:1/0") == 2


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("penstock 0.")


def test_a_failure_is_told_in_our_words_and_brackets_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_words: list[str], _prog: str) -> None:
        raise ServiceError(expected="[bold]x[/]", got="y", where="z", do="w")

    monkeypatch.setattr("serving.cli._command", lambda _name: broken)
    assert run("status") == 1
    assert "error: expected [bold]x[/], got y, at z; w" in capsys.readouterr().err


def test_errors_of_the_clients_are_told_as_services_that_do_not_answer() -> None:
    from confluent_kafka import KafkaError, KafkaException
    from redis.exceptions import ConnectionError as RedisConnectionError

    for error in (KafkaException(KafkaError(KafkaError._TRANSPORT)), RedisConnectionError("refused")):
        known = as_expected(error)
        assert isinstance(known, ServiceError)
        assert "penstock status" in known.do
    assert as_expected(ValueError("a mistake of ours")) is None
    assert not isinstance(ServiceError(expected="x", got="y", where="z"), ConfigError)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_printed_and_ends_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert f"penstock {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--data", "kuairand:/no/such/folder"], "expected simulator, or kuairand: and a folder that exists"),
        (["demo", "--data", "florble"], "expected simulator, or kuairand: and a folder that exists"),
        (["demo", "--json", "/no/such/folder/summary.json"], "expected a file in a folder that exists"),
        (["demo", "--seconds", "1"], "--seconds"),
        (["produce", "/no/such/file"], "/no/such/file"),
        (["verify", "--acknowledged", "/no/such/file"], "/no/such/file"),
        (["score", "/no/such/file"], "/no/such/file"),
        (["load", "kuairand", "/no/such/folder"], "/no/such/folder"),
        (["load", "florble", "."], "expected kuairand, got florble"),
        (["load", "kuairand", ".", "--answers", "x.jsonl"], "expected --ask beside --answers"),
        (["simulate", "--rate", "0"], "--rate"),
        (["logs", "florble"], "expected a part with a log, got florble"),
        (["record", "somewhere", "--since", "yesterday"], "expected an instant"),
        (["feed"], "penstock feed --help"),
    ],
)
def test_what_is_wrong_on_a_command_line_is_named(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_a_status_without_a_system_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    assert run("status", "--json") == 1
    assert "expected a running system, got none" in capsys.readouterr().err


def test_a_worker_that_is_none_of_them_is_told_without_other_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_WORKER", "3")
    monkeypatch.setenv("PENSTOCK_TOKEN_SECRET", "swordfish")
    assert run("up", "--no-wait") == 2
    told = capsys.readouterr().err
    assert "expected more than 3, the number of the worker (PENSTOCK_WORKER), got 1, at PENSTOCK_WORKERS" in told
    assert "swordfish" not in told


def test_a_file_that_cannot_be_written_is_an_error_of_usage() -> None:
    known = as_expected(FileNotFoundError(2, "No such file or directory", "/no/such/file"))
    assert isinstance(known, ConfigError)
    assert "at /no/such/file" in str(known)
    assert as_expected(OSError("without a file")) is None


def test_last_words_with_brackets_are_shown_as_they_are() -> None:
    part = PartState(name="kafka", pid=None, status="unreachable", ready=False, last_words="no [/such] [thrd:main] host")
    console = Console(width=200, file=io.StringIO())
    console.print(table(SystemState(bootstrap_servers="b:1", redis_url="redis://r", parts=[part], at_ms=0)))
    assert "unreachable (no [/such] [thrd:main] host)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_feed_of_odd_titles_and_ids_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Console(width=200, file=io.StringIO())
    monkeypatch.setattr(cli_feed, "console", page)
    one = FeedItem(
        video_id="[/b]", title="[red]x[/] and [/red]", creator_id="[c]", score=1.0, source="s", recommendation_reason="[/why]",
        tracking_token="", video_url=None, thumbnail_url=None, prefetch_url=None,
    )  # fmt: skip
    cli_feed._show(FeedResponse(request_id="r", user_id="[/u]", now_ms=0, items=[one], degradation_level=Level.FULL))
    shown = page.file.getvalue()  # type: ignore[attr-defined]
    assert all(text in shown for text in ("[/b]", "[red]x[/] and [/red]", "[c]", "[/why]", "[/u]"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PENSTOCK_ID_CAPACITY", "many", "expected a valid integer, .*, got 'many', at PENSTOCK_ID_CAPACITY; correct it"),
        ("PENSTOCK_REPLY_TOPICS", "a b", "expected names of topics, [^']*, got 'a b', at PENSTOCK_REPLY_TOPICS; correct it"),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv(name, value)
    assert run("feed", "42") == 2
    assert re.search(told, capsys.readouterr().err)
