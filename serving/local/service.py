"""What a local broker and a local store have in common: start, wait until ready, stop, and never leave a process behind."""

from __future__ import annotations

import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, NoReturn

from serving.errors import ServiceError
from serving.local.home import Home, wipe
from serving.local.processes import (
    LOOPBACK,
    ProcessMark,
    choose_port,
    file_lock,
    find_by_argument,
    port_is_free,
    rotate,
    spawn,
    tail,
    write_whole,
)

_LOCK_WAIT_S = 120.0
_PORT_TRIES = 3
_POLL_S = 0.05


class LocalService(ABC):
    """One server process of a home: it outlives its starter, and is stopped by its own process mark.

    Parameters
    ----------
    home : Home
        Where data, configuration, log and process mark are kept.
    port : int, optional
        The port to listen on: taken as it is when given, any free one when 0; when None, the one of the last start,
        else the standard one, else any free one.
    """

    name: ClassVar[str]
    """Names the log and the process mark."""
    program: ClassVar[str]
    """File name of the executable."""
    standard_port: ClassVar[int]
    extra_ports: ClassVar[tuple[int, ...]] = ()
    """Standard numbers of further ports that the process listens on."""
    ready_within_s: ClassVar[float]
    stop_within_s: ClassVar[float]

    def __init__(self, home: Home, port: int | None = None) -> None:
        self.home = home
        self.port = port

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where data and configuration are kept; wiped by a fresh start."""

    @property
    @abstractmethod
    def config(self) -> Path:
        """The configuration file, whose path on the command line makes the process ours."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What a client connects to."""

    @abstractmethod
    def command(self, ports: tuple[int, ...]) -> list[str | Path]:
        """Write the configuration for these ports and return the command that runs the server."""

    @abstractmethod
    def answers(self, mark: ProcessMark) -> bool:
        """Tell whether this very process answers a client."""

    @property
    def log(self) -> Path:
        """The log file of the current run; those of earlier runs are beside it."""
        return self.home.logs / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process id, None when the server does not run."""
        mark = self._mark()
        return None if mark is None else mark.pid

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of the last start, the main one first; empty before the first."""
        try:
            return tuple(int(port) for port in json.loads(self._ports_file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return ()

    def running(self) -> bool:
        """Tell whether the process of this home runs."""
        return self._mark() is not None

    def start(self, *, fresh: bool = False) -> str:
        """Start the server unless it runs, wait until it answers, and return its address.

        Parameters
        ----------
        fresh : bool
            Stop a running server first and begin with no data.

        Raises
        ------
        ServiceError
            When the server does not get ready; the message ends with the end of its log, and nothing is left running.
        """
        self.home.create()
        with self._lock():
            mark = self._mark() or self._adopt()
            if mark is not None and (fresh or not self.ports):
                self._end(mark)
                mark = None
            if fresh:
                wipe(self.folder)
                self.folder.mkdir(mode=0o700)
            # A process that was found may be one that has just been killed and is about to end.
            if mark is None or not self._ready(mark):
                self._start_new()
            self.trim_log()
        return self.address

    def stop(self) -> None:
        """Stop the server of this home, kindly first; do nothing when it does not run."""
        if not self.home.run.is_dir():
            return
        with self._lock():
            mark = self._mark() or self._adopt()
            if mark is not None:
                self._end(mark)
            self._mark_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the process of this home at once, where it runs; nobody else's."""
        mark = self._mark()
        if mark is not None:
            mark.end(0.0)

    def trim_log(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        """Move the content of a log that has grown past `max_bytes` to `.1`, while the server goes on writing."""
        if self.log.exists() and self.log.stat().st_size > max_bytes:
            shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
            os.truncate(self.log, 0)

    def _start_new(self) -> None:
        # Between choosing a port and listening on it another program may take it: then the start is tried again.
        for left in reversed(range(_PORT_TRIES)):
            if self._ready(self._launch()):
                return
            if left == 0 or self.port or all(port_is_free(port) for port in self.ports):
                self._fail("it ended by itself")

    def _launch(self) -> ProcessMark:
        ports = self._choose_ports()
        argv = self.command(ports)
        write_whole(self._ports_file, json.dumps(ports))
        rotate(self.log)
        mark = spawn(argv, log=self.log)
        try:
            mark.write(self._mark_file)
        except BaseException:
            self._end(mark)
            raise
        return mark

    def _choose_ports(self) -> tuple[int, ...]:
        chosen: list[int] = []
        for index, standard in enumerate((self.standard_port, *self.extra_ports)):
            wanted = [*self.ports[index : index + 1], standard] if self.port is None else self.ports[index : index + 1]
            if index == 0 and self.port:
                if not port_is_free(self.port):
                    raise ServiceError(
                        expected=f"a free port for {self.name}",
                        got="one that is taken",
                        where=f"{LOOPBACK}:{self.port}",
                        do="stop what listens there or choose another port",
                    )
                wanted = [self.port]
            chosen.append(choose_port(*wanted, avoid=chosen))
        return tuple(chosen)

    def _ready(self, mark: ProcessMark) -> bool:
        """Wait until the process answers; False when it ended by itself, and nothing is left of it after an error."""
        deadline = time.monotonic() + self.ready_within_s
        try:
            while not self.answers(mark):
                if not mark.alive():
                    self._end(mark)
                    return False
                if time.monotonic() > deadline:
                    self._fail("it does not answer")
                time.sleep(_POLL_S)
        except BaseException:
            self._end(mark)
            raise
        return True

    def _fail(self, got: str) -> NoReturn:
        raise ServiceError(
            expected=f"{self.name} to be ready within {self.ready_within_s:g} s",
            got=got,
            where=self.address,
            do=f"read {self.log}, which ends:\n{tail(self.log)}",
        )

    def _end(self, mark: ProcessMark) -> None:
        mark.end(self.stop_within_s)
        self._mark_file.unlink(missing_ok=True)

    def _mark(self) -> ProcessMark | None:
        mark = ProcessMark.read(self._mark_file)
        return mark if mark is not None and mark.alive() else None

    def _adopt(self) -> ProcessMark | None:
        # A starter that was killed between starting the process and writing its mark leaves one without a mark.
        mark = find_by_argument(self.program, str(self.config))
        if mark is not None:
            mark.write(self._mark_file)
        return mark

    def _lock(self) -> AbstractContextManager[None]:
        return file_lock(self.home.run / f"{self.name}.lock", timeout_s=_LOCK_WAIT_S)

    @property
    def _mark_file(self) -> Path:
        return self.home.run / f"{self.name}.pid"

    @property
    def _ports_file(self) -> Path:
        return self.home.run / f"{self.name}.ports"
