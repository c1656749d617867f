"""Reads what parts say of themselves: their metrics over loopback, their memory from the kernel."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from serving.local.processes import LOOPBACK
from serving.silence import samples, silences
from serving.watch import Watched, WatchedPart, WatchedRemote, WatchedService

_TIMEOUT_S = 1.0
_EAGER_S = 0.2
_CALM_S = 1.0
_WAITING = re.compile(r'^penstock_partition_lag\{partition="(\d+)",topic="([^"]*)"\} (\S+)$', re.MULTILINE)
SILENT_AFTER_S = 20.0
"""A part whose metrics nobody could read for so long (it hangs, or is stopped) counts as not ready."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was last read of one process.

    `last_progress` is in Unix seconds, `at` in monotonic ones, `warnings` are for people; `waiting` is lag by (topic, partition).
    """

    pid: int | None
    at: float
    ready: bool
    lag: int | None = None
    last_progress: float | None = None
    memory_mb: float | None = None
    warnings: tuple[str, ...] = ()
    waiting: Mapping[tuple[str, int], int] = field(default_factory=dict)


class Scraper(threading.Thread):
    """Reads all watched things again and again, more often while some are not ready.

    Parameters
    ----------
    watched : Sequence[Watched]
        What to read; it may change between two readings.
    """

    def __init__(self, watched: Sequence[Watched]) -> None:
        super().__init__(name="scraper", daemon=True)
        self._watched = watched
        self._readings: dict[str, Reading] = {}
        self._ended = threading.Event()

    def reading(self, name: str, pid: int | None) -> Reading | None:
        """Return the last reading of this very process, None where it has been silent for too long to call it ready."""
        found = self._readings.get(name)
        if found is None or found.pid != pid or time.monotonic() - found.at > SILENT_AFTER_S:
            return None
        return found

    def run(self) -> None:
        """Read until :meth:`end`."""
        while not self._ended.is_set():
            watched = list(self._watched)
            for thing in watched:
                self.read(thing)
            for gone in self._readings.keys() - {thing.name for thing in watched}:
                del self._readings[gone]
            calm = all(reading.ready for reading in self._readings.values()) and len(self._readings) == len(watched)
            self._ended.wait(_CALM_S if calm else _EAGER_S)

    def end(self) -> None:
        """Read no more."""
        self._ended.set()

    def read(self, thing: Watched) -> None:
        """Read one thing; where it does not answer, what was read before stands for a while."""
        pid = thing.pid
        if isinstance(thing, WatchedRemote):
            thing.last_words = thing.failure()
            self._readings[thing.name] = Reading(pid=None, at=time.monotonic(), ready=not thing.last_words)
        elif pid is None:
            self._readings.pop(thing.name, None)
        elif isinstance(thing, WatchedService):
            asked_at = time.monotonic()
            answer = thing.ping()
            thing.heard(answer, asked_at, time.monotonic())
            self._readings[thing.name] = Reading(pid=pid, at=time.monotonic(), ready=not answer.failure, memory_mb=memory_mb(pid))
        elif isinstance(thing, WatchedPart):
            text = scrape(thing)
            if text is not None:
                self._readings[thing.name] = reading_of(pid, text)

    def warnings(self) -> list[str]:
        """Return what stays silent in the data, as the parts last told it."""
        return [warning for reading in list(self._readings.values()) for warning in reading.warnings]


def reading_of(pid: int, exposition: str) -> Reading:
    """Return what the metrics of a part say at this moment."""
    found = samples(exposition)
    progress = found.get(("penstock_last_progress_seconds", ""), 0.0)
    return Reading(
        pid=pid,
        at=time.monotonic(),
        ready=found.get(("penstock_ready", ""), 0.0) == 1.0,
        lag=int(found.get(("penstock_lag", ""), 0.0)),
        last_progress=progress if progress > 0.0 else None,
        memory_mb=memory_mb(pid),
        warnings=tuple(silences(found)),
        waiting={(topic, int(partition)): int(float(lag)) for partition, topic, lag in _WAITING.findall(exposition)},
    )


def scrape(part: WatchedPart) -> str | None:
    """Return the metrics of a part as it tells them, None when it does not answer."""
    try:
        connection = http.client.HTTPConnection(LOOPBACK, int(part.port_file.read_text(encoding="ascii")), timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None


def memory_mb(pid: int) -> float | None:
    """Return the resident memory of a process in MiB, None when it has ended."""
    try:
        resident: int = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None
    return round(resident / 2**20, 1)
