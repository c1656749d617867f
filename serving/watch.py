"""What a supervisor watches: processes of its own and local services, each started again when it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import structlog

from serving.errors import PenstockError
from serving.local.processes import rotate, tail
from serving.local.service import LocalService
from serving.parts import PartSpec, command
from serving.pings import Ping, PingResult

_log = structlog.get_logger("penstock.supervisor")

LOOPING_AFTER = 3
"""Ends in a row, none after a stable run, that make a crash loop."""
STABLE_AFTER_S = 20.0
"""A part that ran for this long is started again as if it had never ended."""
HUNG_AFTER_S = 15.0
"""A local service that did not answer for so long is killed and started again."""
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 15.0


class Backoff:
    """When to start again: at once, then after 0.5 s, 1 s, 2 s … 15 s, until a run was stable.

    Examples
    --------
    >>> backoff = Backoff()
    >>> [backoff.delay_after(uptime_s=1.0) for _ in range(4)]
    [0.0, 0.5, 1.0, 2.0]
    >>> backoff.delay_after(uptime_s=60.0)
    0.0
    """

    def __init__(self) -> None:
        self._ends = 0

    @property
    def looping(self) -> bool:
        """Whether this is a crash loop."""
        return self._ends >= LOOPING_AFTER

    def delay_after(self, *, uptime_s: float) -> float:
        """Count an end after `uptime_s` seconds of running and return the seconds to wait."""
        if uptime_s >= STABLE_AFTER_S:
            self._ends = 0
        self._ends += 1
        return 0.0 if self._ends == 1 else min(_FIRST_DELAY_S * 2.0 ** (self._ends - 2), _LONGEST_DELAY_S)


class Watched(Protocol):
    """Something that is kept running; `now` is a monotonic time in seconds."""

    name: str
    restarts: int
    last_words: str

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""

    @property
    def looping(self) -> bool:
        """Whether it ends again and again."""

    def tend(self, now: float) -> None:
        """Notice an end, start again when it is time."""


class WatchedPart:
    """A part of the system, a child of the supervisor.

    Parameters
    ----------
    spec : PartSpec
        What to run.
    env : Mapping[str, str]
        Its whole environment.
    log : Path
        Gets its output; turned over at the first start.
    port_file : Path
        Where it will write its metrics port.
    """

    def __init__(self, spec: PartSpec, env: Mapping[str, str], log: Path, port_file: Path) -> None:
        self.name = spec.name
        self.restarts = 0
        self.last_words = ""
        self.port_file = port_file
        self.spec = spec
        self._env = env
        self._log = log
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._next_start_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        process = self._process
        return None if process is None else process.pid

    @property
    def looping(self) -> bool:
        """Whether it ends again and again."""
        return self._backoff.looping

    def tend(self, now: float) -> None:
        """Notice an end, start again when it is time."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(now, _how(self._process.returncode))
        if self._process is None and (self._next_start_at is None or now >= self._next_start_at):
            self._start(now)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it does not run."""
        if self._process is not None:
            self._process.send_signal(number)

    def running(self) -> bool:
        """Tell whether the process runs, without starting it again."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return self._process is not None

    def _start(self, now: float) -> None:
        if self._next_start_at is None:
            rotate(self._log)
        else:
            self.restarts += 1
        self.port_file.unlink(missing_ok=True)
        self._started_at = now
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(self._log, flags, 0o600), "ab") as log:
            self._process = subprocess.Popen(
                command(self.spec), env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _ended(self, now: float, how: str) -> None:
        self._process = None
        self.last_words = f"{how}: {last_words(self._log)}"
        delay_s = self._backoff.delay_after(uptime_s=now - self._started_at)
        self._next_start_at = now + delay_s
        _log.warning("part ended", part=self.name, last_words=self.last_words, again_in_s=delay_s)


class WatchedService:
    """The local broker or store: not a child, looked for by its mark, started again on a thread since that takes seconds.

    It is started again when it has ended, and when it runs and does not answer: then its process, and no other, is killed first.

    Parameters
    ----------
    service : LocalService
        With a fixed port, so that it comes back where its clients look for it.
    ping : Callable[[], PingResult]
        Asks it.
    """

    def __init__(self, service: LocalService, ping: Ping) -> None:
        self.name = service.name
        self.service = service
        self.ping = ping
        self.restarts = 0
        self.last_words = ""
        self._backoff = Backoff()
        self._failure = ""
        self._started_at = 0.0
        self._next_start_at: float | None = None
        self._starter: threading.Thread | None = None
        self._silent_since: float | None = None
        self._hangs = False

    @property
    def pid(self) -> int | None:
        """The process id, None while it does not run."""
        return self.service.pid

    @property
    def looping(self) -> bool:
        """Whether it ends again and again."""
        return self._backoff.looping

    @property
    def silent(self) -> bool:
        """Whether it runs and did not answer when it was last asked."""
        return self._silent_since is not None

    def heard(self, answer: PingResult, asked_at: float, now: float) -> None:
        """Take note of an answer, or of none; while it starts, none is expected."""
        if self._is_starting():
            return
        since = self._silent_since
        if answer.silent:
            self._silent_since = asked_at if since is None else since
            # The first question alone proves nothing: if it took long, we may have been stopped ourselves.
            self._hangs = since is not None and now - since >= HUNG_AFTER_S
            self.last_words = answer.failure
        elif since is not None:
            self._silent_since, self._hangs, self.last_words = None, False, ""

    def tend(self, now: float) -> None:
        """Notice an end, start again when it is time; kill what hangs."""
        if self._is_starting():
            return
        if self.service.running():
            if self._hangs:
                self._on_thread(self._kill)
            return
        if self._next_start_at is None:
            self.last_words = self._failure or last_words(self.service.log)
            delay_s = self._backoff.delay_after(uptime_s=now - self._started_at)
            self._next_start_at = now + delay_s
            _log.warning("service ended", part=self.name, last_words=self.last_words, again_in_s=delay_s)
        if now >= self._next_start_at:
            self.restarts += 1
            self._next_start_at = None
            self._on_thread(self._start)

    def _is_starting(self) -> bool:
        return self._starter is not None and self._starter.is_alive()

    def _on_thread(self, work: Callable[[], None]) -> None:
        self._starter = threading.Thread(target=work, name=f"start-{self.name}", daemon=True)
        self._starter.start()

    def _kill(self) -> None:
        self._failure = f"it did not answer for {HUNG_AFTER_S:g} s, and was killed"
        try:
            self.service.kill()
        except PenstockError as error:
            _log.warning("service hangs and cannot be killed", part=self.name, error=str(error))
        self._silent_since, self._hangs = None, False

    def _start(self) -> None:
        self._failure = ""
        try:
            self.service.start()
        except PenstockError as error:
            self._failure = str(error)
        self._silent_since, self._hangs = None, False
        self._started_at = time.monotonic()


class WatchedRemote:
    """A broker or a store of somebody else: asked again and again, never started.

    Parameters
    ----------
    name : str
        Of its row.
    failure : Callable[[], str]
        Asks it, and returns why it does not answer, or nothing.
    """

    restarts = 0
    pid = None
    looping = False

    def __init__(self, name: str, failure: Callable[[], str]) -> None:
        self.name = name
        self.failure = failure
        self.last_words = ""

    def tend(self, now: float) -> None:
        """Do nothing: who runs it keeps it running."""


def last_words(log: Path) -> str:
    """Return the last line of a log that says something: of JSON lines the error or the event."""
    for line in reversed(tail(log, lines=5).splitlines()):
        try:
            fields = json.loads(line)
        except ValueError:
            fields = {"event": line.strip()}
        if isinstance(fields, dict):
            text = str(fields.get("error") or fields.get("event") or "")
            if text:
                return text
    return "no word in its log"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
