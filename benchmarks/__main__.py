"""Run the benchmarks: `python -m benchmarks --json FILE`; a table for people, one JSON file of rows for programs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks import checkpoints, feeds, footprint, freshness, throughput, workers
from benchmarks.rows import Row, table
from benchmarks.system import running


def main() -> None:
    """Measure, print, write."""
    words = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    words.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the rows go")
    words.add_argument("--data", help="kuairand:FOLDER for a real catalogue and real histories; default: the simulator at the same size")
    words.add_argument("--seconds", type=float, default=60.0, help="length of the main loads")
    words.add_argument("--events", type=int, default=300_000, help="events of the throughput loads")
    words.add_argument("--only", help="feeds, freshness, footprint, throughput, checkpoints or workers; several with commas")
    chosen = words.parse_args()
    only = None if chosen.only is None else set(chosen.only.split(","))
    folder = None if chosen.data is None else Path(chosen.data.removeprefix("kuairand:"))
    console = Console()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as root, running(Path(root), folder) as system:
        rows += system.start_rows
        measured = {
            "feeds": feeds.rows(system, seconds=chosen.seconds),
            "freshness": freshness.rows(system, seconds=chosen.seconds / 2),
            "footprint": footprint.rows(system),
            "throughput": throughput.rows(system, events=chosen.events),
            "checkpoints": checkpoints.rows(Path(root) / "checkpoints", seconds=chosen.seconds),
            "workers": workers.rows(system, events=chosen.events),
        }
        for name, found in measured.items():
            for row in found if only is None or name in only else ():
                rows.append(row)
                console.print(f"{row.name}: {row.value:,.2f} {row.unit}")
    console.print(table(rows))
    console.print(
        f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, bytewax {version('bytewax')}"
    )
    chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    sys.stdout.write(f"{chosen.json}\n")


if __name__ == "__main__":
    main()
