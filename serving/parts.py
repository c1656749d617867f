"""The parts of the system: the one table of names and programs, and the plan that a supervisor carries out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from serving.errors import ConfigError
from serving.local.home import Home
from serving.local.processes import write_whole

_EVERY_PART = {
    # one thread of numbers a part: two cores are shared by all of them and the broker
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
    "RUST_BACKTRACE": "0",
}
STOP_WITHIN_S = 10.0
HOME_MARK = "PENSTOCK_SUPERVISED"
"""Environment variable that every supervised process carries: the home that it belongs to."""


class PartSpec(msgspec.Struct, frozen=True):
    """One process of the system.

    Parameters
    ----------
    name : str
        Of the process: its log, its port file, its row in the table.
    module : str
        Run as `python -m module`.
    env : dict of str
        What it finds in its environment beside what every part does.
    """

    name: str
    module: str
    env: dict[str, str] = {}


PARTS = (
    PartSpec("ingest", "dataflows.ingest"),
    PartSpec("features", "dataflows.features"),
    PartSpec("trending", "dataflows.trending"),
    PartSpec("cooccurrence", "dataflows.cooccurrence"),
    PartSpec("catalog", "dataflows.catalog"),
    PartSpec("feed", "dataflows.feed"),
    PartSpec("labels", "dataflows.labels"),
    PartSpec("learning", "dataflows.learning"),
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor is told to keep running.

    Parameters
    ----------
    bootstrap_servers, redis_url : str
        What the parts connect to.
    kafka_port, redis_port : int, optional
        Port of the broker and of Redis where they are our own and watched too; None: somebody else's.
    parts : tuple of PartSpec
        The processes.
    stop_within_s : float
        How long they have to end after SIGTERM; then they are killed.
    topic_prefix : str
        In front of every topic and consumer group; it stays with the home, whatever the environment of a later command says.
    settings : dict of str
        What else the parts read from the environment (serving.part_settings), secrets hashed.
    """

    bootstrap_servers: str
    redis_url: str
    kafka_port: int | None
    redis_port: int | None
    parts: tuple[PartSpec, ...]
    stop_within_s: float = STOP_WITHIN_S
    topic_prefix: str = ""
    settings: dict[str, str] = {}


def plan_file(home: Home) -> Path:
    """Return where the plan of a home is written."""
    return home.run / "plan.json"


def write_plan(home: Home, plan: Plan) -> None:
    """Write the plan that the next supervisor carries out."""
    write_whole(plan_file(home), msgspec.json.encode(plan).decode())


def read_plan(home: Home) -> Plan | None:
    """Return the plan of the current or last supervisor, None when there was none."""
    try:
        return msgspec.json.decode(plan_file(home).read_bytes(), type=Plan)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def choose_parts(*, feed_workers: int = 2, only: Sequence[str] = ()) -> tuple[PartSpec, ...]:
    """Return the processes to run: the table, with `feed` unfolded into its workers.

    Examples
    --------
    >>> [part.name for part in choose_parts(only=["ingest", "feed"])]
    ['ingest', 'feed-0', 'feed-1']

    Raises
    ------
    ConfigError
        When a name is not in the table, or there would be no feed worker.
    """
    if feed_workers < 1:
        raise ConfigError(expected="at least one feed worker", got=str(feed_workers), where="--feed-workers", do="give 1 or more")
    unknown = [name for name in only if name not in {part.name for part in PARTS}]
    if unknown:
        names = ", ".join(part.name for part in PARTS)
        raise ConfigError(expected=f"some of {names}", got=", ".join(unknown), where="--only", do="correct the name")
    chosen = [part for part in PARTS if not only or part.name in only]
    return tuple(process for part in chosen for process in _processes(part, feed_workers))


def environment(plan: Plan, part: PartSpec, home: Path) -> Mapping[str, str]:
    """Return the environment of a part: ours, with what it must know of its surroundings."""
    return {
        **os.environ,
        **_EVERY_PART,
        "PENSTOCK_HOME": str(home),
        "PENSTOCK_BOOTSTRAP_SERVERS": plan.bootstrap_servers,
        "PENSTOCK_REDIS_URL": plan.redis_url,
        "PENSTOCK_TOPIC_PREFIX": plan.topic_prefix,
        "PENSTOCK_PART": part.name,
        "PENSTOCK_METRICS_PORT": "0",
        HOME_MARK: str(home),
        **part.env,
    }


def command(part: PartSpec) -> list[str]:
    """Return the command line of a part; `-P` keeps the current folder off its module path."""
    return [sys.executable, "-P", "-m", part.module]


def _processes(part: PartSpec, feed_workers: int) -> list[PartSpec]:
    if part.name != "feed":
        return [part]
    return [PartSpec(f"feed-{number}", part.module, part.env) for number in range(feed_workers)]
