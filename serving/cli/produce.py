"""`penstock produce`: send a file of events, videos, people or histories."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from serving.cli.output import JsonOption, console, errors, print_json, usage
from serving.connect import connected_settings
from serving.jsonl import open_lines
from serving.sending import Sent, send_lines, way_to_send

app = typer.Typer()

_WHAT = {"events": "events", "catalogue": "videos", "users": "people", "history": "histories"}


@app.command(
    epilog="Examples: penstock produce events.jsonl --acknowledged ids.txt; penstock produce videos.jsonl.gz --kind catalogue; "
    "generate | penstock produce -"
)
def produce(
    file: Annotated[
        Path,
        typer.Argument(help="JSON lines, unpacked where the name ends in .gz; - reads standard input.", allow_dash=True, dir_okay=False),
    ],
    kind: Annotated[
        Literal["events", "catalogue", "users", "history"],
        typer.Option(help="What a line is: a TelemetryBatch, a CatalogItem, a UserRecord or a UserHistory (docs/contracts.md)."),
    ] = "events",
    acknowledged: Annotated[Path | None, typer.Option(help="Write the id of each acknowledged event here, for `penstock verify`.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on after a line that does not fit, and name it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send a file of JSON lines, of any size, and return when the broker has acknowledged all of it.

    Each line is checked as the readers of its topic check it, and keyed by its id. Blank lines and a byte order mark are passed over. At a
    line that does not fit it stops, says how much was sent, and exits with 1; with --skip-bad such lines are named and left out, and it
    exits with 0. Sending a file again is harmless: events count once by event_id, other records replace what stood under their key.
    """
    if acknowledged is not None and kind != "events":
        usage(expected="--kind events beside --acknowledged", got=kind, where="the command line", do="leave one out")
    if str(file) != "-" and not file.exists():
        usage(expected="a file, or - for standard input", got="none", where=str(file), do="name another")
    settings = connected_settings()
    sent = Sent()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with (
            open_lines(file) as lines,
            nullcontext() if acknowledged is None else acknowledged.open("w", encoding="utf-8") as ids,
            Progress(*columns, console=errors, transient=True) as bar,
            way_to_send(kind, settings, sent, lambda event_id: None if ids is None else _write(ids, event_id)) as way,
        ):
            task = bar.add_task("sending", total=file.stat().st_size if file.is_file() else None)
            send_lines(
                way, lines, sent, source=str(file), skip_bad=skip_bad, on_progress=lambda: bar.update(task, completed=lines.position())
            )
    finally:
        _say(sent, _WHAT[kind], as_json=as_json)


def _write(ids: TextIO, event_id: str) -> None:
    ids.write(f"{event_id}\n")


def _say(sent: Sent, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(sent)
        return
    for line in sent.bad_lines:
        errors.print(line, markup=False, soft_wrap=True)
    if sent.bad > len(sent.bad_lines):
        errors.print(f"and {sent.bad - len(sent.bad_lines):,} more")
    stopped = f"; stopped at line {sent.stopped_at}, nothing of it and behind it was sent" if sent.stopped_at is not None else ""
    cut = f", {sent.cut:,} of them cut to their bounds" if sent.cut else ""
    console.print(
        f"{sent.acknowledged:,} {what} acknowledged{cut}, {sent.lines:,} lines read, {sent.bad:,} lines skipped{stopped}", soft_wrap=True
    )
