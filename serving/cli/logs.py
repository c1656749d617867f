"""`penstock logs`."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.output import JsonOption, console
from serving.errors import ConfigError
from serving.local.home import Home

app = typer.Typer(add_completion=False)

_POLL_S = 0.2
_EVERY_LINE = 10_000_000
_COLOURS = {"warning": "yellow", "error": "red", "critical": "bold red"}
_SHOWN_FIRST = ("timestamp", "level", "event", "part", "logger", "exception")


@app.command(epilog="Example: penstock logs ingest --follow")
def logs(
    part: Annotated[str, typer.Argument(help="Name of a part, or kafka, redis, supervisor.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Show the end of a part's log; with --json the lines as they stand in the file."""
    folder = Home.default().logs
    log = folder / f"{part}.log"
    if not log.is_file():
        names = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "no log at all"
        raise ConfigError(expected="a part with a log", got=part, where=str(folder), do=f"choose of: {names}")
    try:
        for line in _lines(log, lines, follow=follow):
            _print(line, as_json=as_json)
    except KeyboardInterrupt:
        return


def _lines(log: Path, count: int, *, follow: bool) -> Iterator[str]:
    with log.open(encoding="utf-8", errors="replace") as file:
        yield from (line.rstrip("\n") for line in deque(file, maxlen=count))
        while follow:
            yield from _whole_lines(file)
            if log.exists() and not os.path.samestat(log.stat(), os.fstat(file.fileno())):
                break
            time.sleep(_POLL_S)
    if follow:
        yield from _lines(log, _EVERY_LINE, follow=True)


def _whole_lines(file: TextIOWrapper) -> Iterator[str]:
    while line := file.readline():
        yield line.rstrip("\n")


def _print(line: str, *, as_json: bool) -> None:
    if as_json:
        console.out(line)
        return
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        console.out(line)
        return
    level = str(fields.get("level", ""))
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in _SHOWN_FIRST)
    text = f"{fields.get('timestamp', '')} {level:<8}{fields.get('event', '')} {rest}".rstrip()
    console.out(text, style=_COLOURS.get(level))
    if "exception" in fields:
        console.out(str(fields["exception"]))
