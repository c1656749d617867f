"""`penstock record`: copies what a replay needs into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from serving.cli.instants import instant_ms
from serving.cli.output import JsonOption, console, errors, print_json
from serving.connect import connected_settings
from serving.record import Recorded
from serving.record import record as run

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: penstock record runs/monday --since 2h")
def record(
    folder: Annotated[Path, typer.Argument(help="A new folder for the recording.")],
    *,
    since: Annotated[str, typer.Option(help="Answers from then on only: an instant (2024-05-01T10:00Z) or an age (30m, 2h, 1d).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record requests, answers and their lineage, and all that the answers depended on.

    The folder needs the cluster no more: `penstock replay FOLDER` makes every answer again from it and compares. It holds what people
    asked for and were shown: keep it as you keep their data.
    """
    since_ms = instant_ms(since) if since else None
    settings = connected_settings()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("asking for offsets", total=None)

        def show(topic: str, done: int, total: int) -> None:
            bar.update(task, description=topic, completed=done, total=total)

        recorded = run(settings, folder, since_ms=since_ms, on_progress=show)
    if as_json:
        print_json(_summary(folder, recorded))
    else:
        _show(folder, recorded)


def _summary(folder: Path, recorded: Recorded) -> dict[str, object]:
    manifest = recorded.manifest
    return {
        "folder": str(folder),
        "records": recorded.records,
        "bytes": recorded.bytes,
        "seconds": round(recorded.seconds, 3),
        "secret": manifest.secret,
        "parts": manifest.parts,
        "artifacts": manifest.artifacts,
    }


def _show(folder: Path, recorded: Recorded) -> None:
    manifest = recorded.manifest
    table = Table("topic", "partitions", "records", "MiB", "gone")
    for topic in dict.fromkeys(part.topic for part in manifest.parts):
        parts = manifest.of(topic)
        numbers = (len(parts), sum(part.records for part in parts))
        size = sum(part.bytes for part in parts) / 2**20
        missing = sum(part.missing for part in parts)
        table.add_row(escape(topic), *(f"{number:,}" for number in numbers), f"{size:,.1f}", f"{missing:,}" if missing else "")
    console.print(table)
    lost = [one for one in manifest.artifacts if not one.copied]
    for one in lost:
        console.print(f"[yellow]{escape(one.path)}, announced on {escape(one.topic)}, is not in the recording: {escape(one.why)}[/]")
    if manifest.secret is None:
        console.print("[yellow]this home has no token key: its fingerprint is not in the recording[/]")
    console.print(
        f"{recorded.records:,} records, {recorded.bytes / 2**20:,.1f} MiB in {folder}, {recorded.seconds:.1f} s",
        soft_wrap=True,
        markup=False,
    )
