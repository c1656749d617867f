"""The processes of the system: how many of each part there are, and the plan that a supervisor carries out."""

from __future__ import annotations

import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from schemas.settings import Settings
from schemas.sharding import SHARDS
from schemas.topics import PartDeclaration, load_parts, load_topics
from serving.errors import ConfigError
from serving.local.home import Home
from serving.local.processes import LOOPBACK, write_whole

_EVERY_PART = {
    # one thread of numbers a part: two cores are shared by all of them and the broker
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
    "RUST_BACKTRACE": "0",
}
STOP_WITHIN_S = 10.0
WORKERS_AT = "--workers or PENSTOCK_WORKERS_OF"
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
    part : str
        Which part it is a process of; empty: one of its own name.
    worker, workers : int
        Which of how many workers it is, where the part is split into shards.
    """

    name: str
    module: str
    env: dict[str, str] = {}
    part: str = ""
    worker: int = 0
    workers: int = 1


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


def choose_parts(*, workers: Mapping[str, int] | None = None, only: Sequence[str] = ()) -> tuple[PartSpec, ...]:
    """Return the processes to run: the table of topics.yaml, each part unfolded into its workers.

    Parameters
    ----------
    workers : Mapping of str to int, optional
        How many processes a part has; those that it does not name have as many as the table says. None: PENSTOCK_WORKERS_OF.
    only : Sequence of str
        Parts to run; empty: all.

    Examples
    --------
    >>> [part.name for part in choose_parts(workers={"feed": 3}, only=["ingest", "feed"])]
    ['ingest', 'feed-0', 'feed-1', 'feed-2']

    Raises
    ------
    ConfigError
        When a name is not in the table, or a part cannot have so many workers.
    """
    workers, table = wanted_workers() if workers is None else workers, load_parts()
    _require_known(only, "--only")
    _require_known(workers, WORKERS_AT)
    for name, number in workers.items():
        _require_possible(table[name], number)
    chosen = [part for part in table.values() if not only or part.name in only]
    return tuple(process for part in chosen for process in _processes(part, workers.get(part.name, part.workers)))


def wanted_workers(text: str | None = None) -> dict[str, int]:
    """Return how many workers parts shall have by a command line, or else by PENSTOCK_WORKERS_OF."""
    return parse_workers(Settings().workers_of if text is None else text)


def parse_workers(text: str) -> dict[str, int]:
    """Read how many workers parts shall have.

    Examples
    --------
    >>> parse_workers("feed=4, labels=2")
    {'feed': 4, 'labels': 2}

    Raises
    ------
    ConfigError
        When the text is not names and whole numbers, or names a part twice.
    """
    found: dict[str, int] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, number = map(str.strip, entry.partition("="))
        if not name or name in found or re.fullmatch(r"[0-9]{1,4}", number) is None:
            raise ConfigError(expected="PART=NUMBER for each part once, such as feed=4", got=entry, where=WORKERS_AT, do="correct it")
        found[name] = int(number)
    return found


def _require_known(names: Iterable[str], where: str) -> None:
    table = load_parts()
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ConfigError(expected=f"some of {', '.join(table)}", got=", ".join(unknown), where=where, do="correct the name")


def _require_possible(part: PartDeclaration, workers: int) -> None:
    most = most_workers(part) if part.scale == "shards" else workers
    if part.scale == "one" and workers != 1:
        expected, do = f"1 worker of {part.name}", f"leave it out: {part.why}"
    elif part.scale == "shards" and not 1 <= workers <= most:
        do = f"a worker owns one partition at least; more partitions in topics.yaml allow up to {SHARDS}"
        expected = f"1 to {most} workers of {part.name}"
    elif workers < 1:
        expected, do = f"at least 1 worker of {part.name}", "give 1 or more"
    else:
        return
    raise ConfigError(expected=expected, got=str(workers), where=WORKERS_AT, do=do)


def most_workers(part: PartDeclaration) -> int:
    """Return among how many workers the user shards of a part and the partitions that it reads can be divided alike."""
    return math.gcd(SHARDS, *(spec.partitions for spec in load_topics().values() if part.name in spec.consumers))


def workers_by_part(parts: Iterable[PartSpec]) -> dict[str, int]:
    """Return how many processes each part has among some."""
    return dict(Counter(process.part or process.name for process in parts))


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
        "PENSTOCK_METRICS_HOST": LOOPBACK,
        "PENSTOCK_METRICS_PORT": "0",
        "PENSTOCK_WORKER": str(part.worker),
        "PENSTOCK_WORKERS": str(part.workers),
        HOME_MARK: str(home),
        **part.env,
    }


def command(part: PartSpec) -> list[str]:
    """Return the command line of a part; `-P` keeps the current folder off its module path."""
    return [sys.executable, "-P", "-m", part.module]


def _processes(part: PartDeclaration, workers: int) -> list[PartSpec]:
    if part.scale != "shards":
        return [PartSpec(name, part.module, part=part.name) for name in part.process_names(workers)]
    names = part.process_names(workers)
    return [PartSpec(name, part.module, part=part.name, worker=worker, workers=workers) for worker, name in enumerate(names)]
