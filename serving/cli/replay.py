"""`penstock replay`: makes every recorded answer again and compares the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.output import JsonOption
from serving.local.home import Home

app = typer.Typer(add_completion=False)

_PROGRAM = "dataflows.replay"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@app.command(epilog="Example: penstock replay runs/monday")
def replay(
    folder: Annotated[Path, typer.Argument(help="A folder made by `penstock record`.")],
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Replay so many answers at most.")] = None,
    worker: Annotated[str | None, typer.Option(help="Only the answers of this process, such as feed-0.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a recording through the feed's own operators, apart from Kafka and Redis.

    Ends with 0 if there was something to replay and all of it came out the same, byte for byte; else with 1, and the first difference
    is named. With --json: requests, mismatches, first_mismatch{request_id, stage, field, expected, got}, requests_per_s,
    not_reproducible, reasons{why: n}, and more.
    """
    words = [sys.executable, "-P", "-m", _PROGRAM, str(folder.absolute())]
    words += ["--limit", str(limit)] if limit is not None else []
    words += ["--worker", worker] if worker is not None else []
    words += ["--json"] if as_json else []
    environment = {**os.environ, **_ONE_THREAD, "PENSTOCK_HOME": str(Home.default().root)}
    raise SystemExit(subprocess.run(words, env=environment, check=False).returncode)
