"""What a replay says: progress on the way, a table for people, JSON for programs."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from operators.replay.manifest import Made, Manifest
from operators.replay.run import OnProgress, Report

_REDRAW_S = 0.1
_NUMBERS = ("requests", "mismatches", "not_reproducible", "by_digest", "refused", "requests_per_s", "requests_per_cpu_s", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was found, in which recording, and how long the answers took: of the clock, and of a core."""

    report: Report
    manifest: Manifest
    seconds: float
    cpu_seconds: float


def summary(replayed: Replayed) -> dict[str, Any]:
    """Return what programs are told."""
    report, first = replayed.report, replayed.report.first_mismatch
    return {
        **msgspec.structs.asdict(report),
        "first_mismatch": None if first is None else msgspec.structs.asdict(first),
        "requests_per_s": round(report.requests / replayed.seconds, 1),
        "requests_per_cpu_s": round(report.requests / replayed.cpu_seconds, 1),
        "seconds": round(replayed.seconds, 3),
        "made_otherwise": _made_otherwise(replayed.manifest.made),
    }


def show(console: Console, replayed: Replayed) -> None:
    """Print a table, the first difference, and what is not reproducible."""
    values, report = summary(replayed), replayed.report
    table = Table(show_header=False, box=None)
    for name in _NUMBERS:
        table.add_row(name.replace("_", " "), f"{values[name]:,}")
    for name, answers in report.workers.items():
        table.add_row(escape(f"worker {name}"), f"{answers:,}")
    console.print(table)
    for where, n in report.stages.items():
        console.print(f"[red]{n:,} differ first at {escape(where)}[/]", soft_wrap=True)
    first = report.first_mismatch
    if first is not None:
        console.print(f"the first: request {first.request_id}, {first.stage}: {first.field}", soft_wrap=True, markup=False)
        console.print(f"  expected {first.expected}", soft_wrap=True, markup=False)
        console.print(f"  got      {first.got}", soft_wrap=True, markup=False)
    for reason, n in report.reasons.items():
        console.print(f"[yellow]{n:,} not reproducible:[/] {escape(reason)}", soft_wrap=True)
    for line in values["made_otherwise"]:
        console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    if report.requests == 0:
        console.print("[yellow]nothing to replay: no such answers in the recording[/]", soft_wrap=True)


@contextmanager
def progress(console: Console) -> Iterator[OnProgress]:
    """Show a bar for each thing that goes on, redrawn a few times a second."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    due = 0.0

    def on_progress(what: str, done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        elif now < due and done < total:
            return
        due = now + _REDRAW_S
        bar.update(tasks[what], completed=done, total=total)

    with Progress(*columns, console=console, transient=True) as bar:
        yield on_progress


def _made_otherwise(made: Made) -> list[str]:
    """Return in which of the things that may change the last bit of a number this differs from the recording."""
    now = {"python": platform.python_version(), "numpy": np.__version__, "machine": f"{platform.system()} {platform.machine()}"}
    pairs = [(name, getattr(made, name), value) for name, value in now.items()]
    return [f"{name}: recorded with {then}, replayed with {value}" for name, then, value in pairs if then != value]
