"""`penstock bench`: the benchmarks of the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.settings import CHECKOUT
from serving.errors import ConfigError

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: penstock bench --json bench.json --seconds 30 --only feeds,freshness")
def bench(
    json_file: Annotated[Path, typer.Option("--json", help="Where the rows go: {name, value, unit, method, against, ratio}.")] = Path(
        "benchmarks.json"
    ),
    data: Annotated[str | None, typer.Option(help="kuairand:FOLDER; default: the simulator at the same size.")] = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Length of the main loads.")] = 60.0,
    events: Annotated[int, typer.Option(min=1_000, help="Events of the throughput loads.")] = 300_000,
    only: Annotated[str | None, typer.Option(help="feeds, freshness, footprint or throughput; several with commas.")] = None,
) -> None:
    """Measure a whole system in a folder of its own; a table for people, one JSON file for programs."""
    if not (CHECKOUT / "benchmarks").is_dir():
        raise ConfigError(expected="the folder benchmarks/", got="none", where=str(CHECKOUT), do="run this in a checkout of the project")
    words = ["--json", str(json_file.absolute()), "--seconds", str(seconds), "--events", str(events)]
    kind, _, folder = (data or "").partition(":")
    found = None if data is None else f"{kind}:{Path(folder).absolute()}"
    for name, value in (("--data", found), ("--only", only)):
        words += [] if value is None else [name, value]
    raise typer.Exit(subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=CHECKOUT, check=False).returncode)
