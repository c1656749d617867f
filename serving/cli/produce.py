"""`penstock produce`: send a file of telemetry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from schemas.codec import DecodeError, decode
from schemas.telemetry import TelemetryBatch
from serving.cli.output import JsonOption, console, errors, print_json
from serving.connect import current_settings
from serving.errors import ContractError
from serving.producer import TelemetryProducer

app = typer.Typer()


@app.command(epilog="Example: penstock produce events.jsonl --acknowledged acknowledged.txt")
def produce(
    file: Annotated[Path, typer.Argument(help="One batch as JSON a line; - reads standard input.", allow_dash=True, dir_okay=False)],
    acknowledged: Annotated[Path | None, typer.Option(help="Write the id of each acknowledged event here, for `penstock verify`.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on after a line that does not fit, and name it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send batches of interactions to `telemetry.raw`, and return when the broker has acknowledged all of them."""
    settings = current_settings()
    lines = sys.stdin.buffer.read().splitlines() if str(file) == "-" else file.read_bytes().splitlines()
    ids: list[str] = []
    bad: list[str] = []
    producer = TelemetryProducer(
        settings.kafka(),
        topic_prefix=settings.topic_prefix,
        on_acknowledged=lambda batch: ids.extend(event.event_id for event in batch.events),
    )
    try:
        with producer, Progress(console=errors, transient=True) as progress:
            for number, line in progress.track(list(enumerate(lines, 1)), description="sending"):
                try:
                    batch = decode(TelemetryBatch, line)
                except DecodeError as error:
                    refusal = ContractError(expected=error.expected, got=error.got, where=f"{file} line {number} {error.path}")
                    if not skip_bad:
                        raise refusal from None
                    bad.append(str(refusal))
                    continue
                producer.send(batch.user_id, batch.events, device_id=batch.device_id)
    finally:
        if acknowledged is not None:
            acknowledged.write_text("".join(f"{event_id}\n" for event_id in ids))
    for each in bad:
        errors.print(each, markup=False)
    if as_json:
        print_json({"acknowledged": producer.acknowledged, "bad_lines": bad})
    else:
        console.print(f"{producer.acknowledged} events acknowledged, {len(bad)} lines skipped")
