"""`penstock demo`: the whole system at work, and a summary."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.live import Live
from rich.markup import escape

from serving.cli.output import console, errors, usage
from serving.demo import DemoOptions, DemoSummary, run_demo
from serving.demo.view import final, live

app = typer.Typer()
_DATA_VARIABLE = "PENSTOCK_DATA"
_TELL_EVERY_S = 5.0


@app.command(epilog="Example: penstock demo --seconds 90 --data kuairand:../shared/datasets/kuairand-pure --json summary.json")
def demo(
    *,
    seconds: Annotated[float, typer.Option(min=5.0, help="How long events flow.")] = 60.0,
    data: Annotated[str | None, typer.Option(help=f"kuairand:FOLDER, or simulator; default: {_DATA_VARIABLE}, else simulator.")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Feed requests per second of the simulated people.")] = 20.0,
    speed: Annotated[float, typer.Option(min=0.001, help="Seconds of a log per second.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Of the simulated people.")] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the system running.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary here as JSON.")] = None,
) -> None:
    """Start everything, let events and feed requests flow, and sum up what was measured.

    The exit code is 1 when a request went unanswered or no feed changed after likes.
    """
    if json_file is not None and not json_file.absolute().parent.is_dir():
        usage(expected="a file in a folder that exists", got=str(json_file), where="--json", do="make the folder first")
    signal.signal(signal.SIGTERM, _interrupt)
    options = DemoOptions(seconds=seconds, folder=_folder(data), rate=rate, speed=speed, seed=seed, keep=keep)
    with Live(console=errors, refresh_per_second=4, transient=True) as screen:
        show = (lambda summary, left: screen.update(live(summary, left))) if errors.is_terminal else _in_lines()
        summary = run_demo(options, say=lambda text: errors.print(text, markup=False), show=show)
    console.print(final(summary))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    for failure in summary.failures:
        errors.print(f"[bold red]failed:[/] {escape(failure)}")
    if summary.failures:
        raise typer.Exit(1)


def _folder(data: str | None) -> Path | None:
    wanted = data or os.environ.get(_DATA_VARIABLE) or "simulator"
    if wanted == "simulator":
        return None
    kind, _, folder = wanted.partition(":")
    if kind != "kuairand" or not Path(folder).is_dir():
        usage(expected="simulator, or kuairand: and a folder that exists", got=wanted, where="--data", do="see `penstock demo --help`")
    return Path(folder)


def _in_lines() -> Callable[[DemoSummary, float], None]:
    """Return what tells of the progress where there is no terminal: a line now and then."""
    told = 0.0

    def show(summary: DemoSummary, left: float) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            errors.print(
                f"{left:3.0f} s left: {summary.answered}/{summary.requests} feeds, p99 {summary.feed_p99_ms} ms, {summary.events} events, "
                f"event to feed p99 {summary.event_to_feed_p99_ms} ms",
                markup=False,
            )

    return show


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
