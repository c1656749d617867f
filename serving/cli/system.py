"""`penstock up`, `down`, `status`."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from schemas.topics import load_parts
from serving.cli.output import JsonOption, console, errors, print_json, usage
from serving.connect import current_settings
from serving.errors import ServiceError
from serving.local.home import Home
from serving.parts import choose_parts, wanted_workers
from serving.reach import without_password
from serving.state import PartState, SystemState, read_state, supervisor_mark

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_REFRESH_S = 1.0
_COLOURS = {
    "ready": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "crash-looping": "bold red",
    "silent": "bold red",
    "unreachable": "bold red",
}
_WITH_REASON = frozenset({"crash-looping", "restarting", "silent", "unreachable"})


@app.command(epilog="Example: `penstock up --fresh --workers feed=4,labels=2`")
def up(
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin with no data: stops what runs and wipes it.")] = False,
    workers: Annotated[
        str | None, typer.Option(help="Processes of a part, such as feed=4,labels=2; else PENSTOCK_WORKERS_OF, else topics.yaml.")
    ] = None,
    only: Annotated[str, typer.Option(help=f"Start these parts only, with commas: {', '.join(load_parts())}.")] = "",
    bootstrap_servers: Annotated[str | None, typer.Option(help="Use a Kafka cluster that exists.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Use a Redis that exists.")] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take topics and rows of another system that is gone for good, its home lost.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until the parts are ready.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka, Redis and every part of the system, and wait until all are ready.

    Topics are made from topics.yaml. Where the system runs and only numbers of workers are others, the parts that these are of are started
    anew, and the others go on. A start that fails leaves nothing running. PENSTOCK_TOPIC_PREFIX of the first start stays with this
    home. Topics or a Redis database that belong to another system are refused, and so are other settings than those of a system that runs.
    """
    from serving.system import Wanted, running_workers, up

    if fresh and (bootstrap_servers or redis_url):
        usage(expected="--fresh on services of our own", got="services that exist", where="the command line", do="leave one out")
    home, said = Home.default(), wanted_workers(workers)
    wanted = Wanted(
        parts=choose_parts(
            workers=said if fresh else {**running_workers(home), **said},
            only=[name.strip() for name in only.split(",") if name.strip()],
        ),
        bootstrap_servers=bootstrap_servers,
        redis_url=redis_url,
        fresh=fresh,
        wait=not no_wait,
        take_over=take_over,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    state = up(home, wanted, errors.print)
    if state is not None:
        _show(state, as_json=as_json)


@app.command(epilog="Example: `penstock down`")
def down() -> None:
    """Stop every part, then Redis and Kafka; their data is kept."""
    from serving.system import down

    stopped = down(Home.default())
    console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(epilog="Example: `penstock status --json | jq .parts`")
def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until interrupted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every process: id, readiness, partitions that it owns, waiting records, last progress, memory.

    Below the table: what stays silent in the data although everything runs. With --json: bootstrap_servers, redis_url, topic_prefix,
    parts[{name, part, pid, ready, lag, memory_mb, restarts, last_progress_s, status, last_words, shards[{worker, workers, partitions{topic:
    [number]}, state, lag}]}], warnings[]; with --watch too, one such line a second.
    """
    home = Home.default()
    if not watch:
        _show(_running(home), as_json=as_json)
        return
    try:
        if as_json:
            while True:
                print_json(_running(home))
                time.sleep(_REFRESH_S)
        with Live(table(_running(home)), console=console, refresh_per_second=4) as live:
            while True:
                time.sleep(_REFRESH_S)
                live.update(table(_running(home)))
    except KeyboardInterrupt:
        return


def table(state: SystemState) -> Table:
    """Return the parts as a table."""
    drawn = Table(
        title=escape(f"Kafka {state.bootstrap_servers} · Redis {without_password(state.redis_url)}")
        + (f" · topics {escape(state.topic_prefix)}*" if state.topic_prefix else ""),
        title_justify="left",
        caption="\n".join([f"{sum(part.memory_mb or 0.0 for part in state.parts):,.0f} MiB in all", *map(escape, state.warnings)]),
    )
    for heading in ("part", "pid", "status", "owns", "lag", "last progress", "memory", "restarts"):
        drawn.add_column(heading, justify="left" if heading in {"part", "status"} else "right", no_wrap=heading == "part")
    for part in state.parts:
        drawn.add_row(*_cells(part))
    return drawn


def ranges(part: PartState) -> str:
    """Return which partitions a process owns of the topics that are cut into most, as ranges.

    Examples
    --------
    >>> from serving.state import ShardState
    >>> owned = {"feed.requests": [0, 1, 2, 5], "models.online": [0]}
    >>> shard = ShardState(worker=0, workers=1, partitions=owned, state="ready", lag=0)
    >>> ranges(PartState(name="feed-0", pid=1, status="ready", ready=True, shards=[shard]))
    '0-2,5'
    """
    lists = [numbers for shard in part.shards for numbers in shard.partitions.values()]
    if not lists:
        return "-"
    runs: list[list[int]] = []
    for number in max(lists, key=len):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _cells(part: PartState) -> list[str]:
    colour = _COLOURS.get(part.status, "white")
    why = (
        f" ({escape(part.last_words)})"
        if part.status in {"crash-looping", "restarting", "silent", "unreachable"} and part.last_words
        else ""
    )
    return [
        escape(part.name),
        "-" if part.pid is None else str(part.pid),
        f"[{colour}]{escape(part.status)}[/]{why}",
        ranges(part),
        "-" if part.lag is None else f"{part.lag:,}",
        "-" if part.last_progress_s is None else f"{part.last_progress_s:,.1f} s ago",
        "-" if part.memory_mb is None else f"{part.memory_mb:,.0f} MiB",
        str(part.restarts),
    ]


def _show(state: SystemState, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
    else:
        console.print(table(state))


def _running(home: Home) -> SystemState:
    state = read_state(home)
    if state is None:
        raise ServiceError(expected="a running system", got="none", where=str(home.root), do="run `penstock up`")
    current_settings()  # refuses an environment that means another system
    if supervisor_mark(home) is None:
        raise ServiceError(
            expected="a running supervisor",
            got=state.fault or "one that was killed",
            where=str(home.root),
            do="run `penstock up` or `penstock down`",
        )
    return state


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
