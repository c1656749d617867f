"""The `penstock` command.

Each command's module is imported only when that command is run, so that help is quick. A module of commands has a
``app = typer.Typer()`` and a line per command in :data:`COMMANDS`; a module whose app has no command of that name is a group.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Command(NamedTuple):
    """Where a command is, and what it does in a few words."""

    module: str
    about: str


COMMANDS: dict[str, Command] = {
    "up": Command("serving.cli.system", "start Kafka, Redis and every part, and wait until they are ready"),
    "down": Command("serving.cli.system", "stop everything of this checkout"),
    "status": Command("serving.cli.system", "what runs, and how it is"),
    "logs": Command("serving.cli.logs", "the log of a part"),
    "doctor": Command("serving.cli.doctor", "what this machine has and lacks"),
    "produce": Command("serving.cli.produce", "send a file of events, videos, people or histories"),
    "feed": Command("serving.cli.feed", "look at somebody's feed, and why it is what it is"),
    "simulate": Command("serving.cli.simulate", "people with tastes who ask, watch, like and skip"),
    "load": Command("serving.cli.load", "stream a public log over the topics, and ask for feeds on the way"),
    "score": Command("serving.cli.load", "score a file of answers"),
    "demo": Command("serving.cli.demo", "the whole system at work, and a summary"),
    "bench": Command("serving.cli.bench", "measure a whole system, beside an echo"),
    "verify": Command("serving.cli.verify", "recount the topics and compare every counter"),
    "record": Command("serving.cli.record", "copy what a replay needs into a folder"),
    "replay": Command("serving.cli.replay", "make every recorded answer again, and compare the bytes"),
    "deploy": Command("serving.cli.deploy", "write the parts into docker-compose.yml and Kubernetes manifests"),
    "topics": Command("serving.cli.topics", "plan, apply, list, tail"),
    "schema": Command("serving.cli.schema", "export the contracts as JSON Schema and AsyncAPI"),
    "dlq": Command("serving.cli.dlq", "dead letters: list, show, retry, purge"),
    "models": Command("serving.cli.models", "how well the heads are predicted, a challenger beside them, when losses changed"),
    "moderate": Command("serving.cli.control", "take a video or a creator out of every feed, let it back, list what is blocked"),
    "objective": Command("serving.cli.control", "show or set what the ranker maximises"),
}
EPILOG = "penstock COMMAND --help says more, with an example."


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command.

    Raises
    ------
    SystemExit
        Always: 0 when it did its work, 1 when it failed, 2 when the command line or a setting is wrong.
    """
    # What the Kafka library retries by itself is no news to a person at a terminal.
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"--help", "-h", "help"}:
        sys.stdout.write(_overview())
        raise SystemExit(0)
    if words[0] == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"penstock {version('penstock')}\n")
        raise SystemExit(0)
    _run(words[0], words[1:])


class _Runner(Protocol):
    def __call__(self, args: Sequence[str], prog_name: str) -> object: ...


def _run(name: str, words: list[str]) -> None:
    from serving.cli.output import as_expected, fail
    from serving.errors import ConfigError, PenstockError

    try:
        if name not in COMMANDS:
            raise ConfigError(expected="a command", got=name, where="the command line", do="run `penstock --help`")
        _command(name)(words, f"penstock {name}")
    except PenstockError as error:
        fail(error)
    except Exception as error:
        known = as_expected(error)
        if known is None:
            raise
        fail(known)


def _command(name: str) -> _Runner:
    import typer.core
    import typer.main

    found = typer.main.get_command(importlib.import_module(COMMANDS[name].module).app)
    if isinstance(found, typer.core.TyperGroup) and name in found.commands:
        return found.commands[name].main
    return found.main


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(["Usage: penstock COMMAND ...", "", "Commands:", *lines, "", EPILOG, ""])
