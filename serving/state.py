"""What the supervisor says of the running system, in one file that is always whole."""

from __future__ import annotations

from pathlib import Path

import msgspec

from serving.local.home import Home
from serving.local.processes import ProcessMark, write_whole


class ShardState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process owns of the topics that its part reads.

    Parameters
    ----------
    worker, workers : int
        Which of how many it is.
    partitions : dict of str to list of int
        Partitions by topic, without the prefix; those of a group may change at any time.
    state : str
        The `status` of the process.
    lag : int
        Records that wait in these partitions.
    """

    worker: int
    workers: int
    partitions: dict[str, list[int]]
    state: str
    lag: int


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Parameters
    ----------
    name : str
        Of the part.
    pid : int, optional
        None while it does not run.
    status : str
        `starting`, `ready`, `restarting`, `crash-looping`, `stopping` or `stopped`; of our own broker or store also `silent`, where it
        runs and does not answer; of somebody else's `ready` or `unreachable`.
    ready : bool
        Whether it does its work.
    lag : int, optional
        Records that wait in front of it.
    memory_mb : float, optional
        Resident memory in MiB.
    restarts : int
        How often it was started again.
    last_progress_s : float, optional
        Seconds since it last worked on a record; None: not yet.
    last_words : str
        Why it ended last, or why it is not reachable; empty when neither is so.
    part : str
        Which part it is a process of.
    shards : list of ShardState
        What it owns; empty while it has not said so, and of what reads no topics.
    """

    name: str
    pid: int | None
    status: str
    ready: bool
    lag: int | None = None
    memory_mb: float | None = None
    restarts: int = 0
    last_progress_s: float | None = None
    last_words: str = ""
    part: str = ""
    shards: list[ShardState] = []


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    """The system as a whole.

    Parameters
    ----------
    bootstrap_servers, redis_url, topic_prefix : str
        Where it is.
    parts : list of PartState
        Its processes, and the broker and the store.
    at_ms : int
        When this was written.
    warnings : list of str
        What stays silent in the data although everything runs.
    fault : str
        Why the supervisor ended by itself, empty where it did not.
    """

    bootstrap_servers: str
    redis_url: str
    parts: list[PartState]
    at_ms: int
    topic_prefix: str = ""
    warnings: list[str] = []
    fault: str = ""

    @property
    def ready(self) -> bool:
        """Whether every part does its work."""
        return all(part.ready for part in self.parts)


def state_file(home: Home) -> Path:
    """Return where the state of a home is written."""
    return home.run / "state.json"


def write_state(home: Home, state: SystemState) -> None:
    """Replace the state file."""
    write_whole(state_file(home), msgspec.json.encode(state).decode())


def read_state(home: Home) -> SystemState | None:
    """Return what was last written, None when there is nothing."""
    try:
        return msgspec.json.decode(state_file(home).read_bytes(), type=SystemState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def supervisor_mark(home: Home) -> ProcessMark | None:
    """Return the running supervisor of a home, None when there is none."""
    mark = ProcessMark.read(supervisor_file(home))
    return mark if mark is not None and mark.alive() else None


def supervisor_file(home: Home) -> Path:
    """Return where the supervisor writes its process mark."""
    return home.run / "supervisor.pid"
