"""`penstock verify`: recount the topics and compare with every counter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from serving.cli.output import JsonOption, console, errors, print_json
from serving.connect import connected_settings
from serving.reach import redis_client
from serving.verify import Verifier, verify_until_settled

app = typer.Typer()
_SHOWN = 20


@app.command(epilog="Example: penstock verify --acknowledged acknowledged.txt --json")
def verify(
    acknowledged: Annotated[
        Path | None, typer.Option(help="Ids that a producer saw acknowledged (`produce --acknowledged`).", exists=True, dir_okay=False)
    ] = None,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for the stream to settle before something counts as wrong.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Recount telemetry.raw, telemetry.events and the dead letters, and compare every counter; exit code 1 when anything is wrong."""
    settings = connected_settings()
    ids = None if acknowledged is None else acknowledged.read_text().split()
    verifier = Verifier(settings, redis_client(settings))
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("recounting", total=None)
        found = verify_until_settled(
            verifier, wait=wait, acknowledged_ids=ids, on_progress=lambda read, total: bar.update(task, completed=read, total=total)
        )
    verifier.close()
    if as_json:
        print_json(found)
    else:
        for name in (
            "acknowledged",
            "ingested",
            "dead_letters",
            "duplicates",
            "repeats",
            "lost",
            "double",
            "unreadable",
            "counters_checked",
        ):
            console.print(f"{name:>17}  {getattr(found, name)}")
        console.print(f"{'counters_wrong':>17}  {len(found.counters_wrong)}")
        for wrong in found.counters_wrong[:_SHOWN]:
            console.print(f"  {wrong.entity} {wrong.counter} ({wrong.window}): expected {wrong.expected}, got {wrong.got}", markup=False)
        for example in [*found.lost_examples, *found.double_examples]:
            console.print(f"  {example}", markup=False)
    if not found.ok:
        raise typer.Exit(1)
