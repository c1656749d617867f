"""Processes, ports, locks and log files of the local services: the one way to start and to stop them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from serving.errors import ServiceError

LOOPBACK = "127.0.0.1"
_OWN_PORTS = range(20_000, 32_000)  # below the range from which the kernel takes ports for outgoing connections
_POLL_S = 0.02
_children: set[int] = set()  # started by this process and not yet waited for


@dataclass(frozen=True)
class ProcessMark:
    """A process named so that a recycled pid is never taken for it.

    Parameters
    ----------
    pid : int
        The process id.
    born : str
        When the process began, as the kernel counts it; two processes with one pid differ in it.
    """

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """Return the mark of a running process, None when there is none (a zombie counts as none)."""
        _reap(pid)
        try:
            process = psutil.Process(pid)
            # The first thread of a killed process may be gone while others still hold its ports and locks.
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                return None
            return cls(pid, _birth(process))
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def read(cls, path: Path) -> ProcessMark | None:
        """Return the mark in a file, None when the file is missing or half-written."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(fields["pid"]), str(fields["born"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the mark to a file, all of it or nothing."""
        write_whole(path, json.dumps({"pid": self.pid, "born": self.born}))

    def alive(self) -> bool:
        """Tell whether this very process, not another one with its pid, still runs."""
        return ProcessMark.of(self.pid) == self

    def end(self, patience_s: float) -> None:
        """Ask the process to stop, and kill it when it has not after `patience_s` seconds.

        Raises
        ------
        ServiceError
            When even SIGKILL does not end it.
        """
        for number, bound_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
            if not self.alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + bound_s
            while time.monotonic() < deadline:
                if not self.alive():
                    return
                time.sleep(_POLL_S)
        raise ServiceError(expected="the process to end", got="it still runs after SIGKILL", where=f"pid {self.pid}")


def spawn(argv: Sequence[str | Path], *, log: Path) -> ProcessMark:
    """Start a program in a session of its own, so that it outlives its starter, with its output appended to `log`.

    A program that has ended before this returns gets a mark that is not alive.

    Raises
    ------
    ServiceError
        When the program cannot be run.
    """
    words = [os.fspath(word) for word in argv]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        pid = os.posix_spawn(
            words[0],
            words,
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise ServiceError(expected="a program that runs", got=str(error), where=words[0]) from error
    _children.add(pid)
    return ProcessMark.of(pid) or ProcessMark(pid, "ended at once")


def find_by_argument(program: str, argument: str) -> ProcessMark | None:
    """Return the running `program` of this user that has exactly `argument` on its command line, if there is one."""
    for process in psutil.process_iter(["cmdline", "uids"]):
        words, uids = process.info["cmdline"] or [""], process.info["uids"]
        if argument in words[1:] and os.path.basename(words[0]) == program and uids and uids.real == os.getuid():
            mark = ProcessMark.of(process.pid)
            if mark is not None:
                return mark
    return None


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_answers(port: int) -> bool:
    """Tell whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def choose_port(*wanted: int, avoid: Sequence[int] = ()) -> int:
    """Return the first wanted port that is free, else any free one; never one of `avoid`.

    Raises
    ------
    ServiceError
        When no port can be found.
    """
    for port in (*wanted, *random.sample(_OWN_PORTS, 200)):
        if port not in avoid and port_is_free(port):
            return port
    raise ServiceError(expected="a free port", got="200 taken ones", where=LOOPBACK, do="stop what listens on them")


@contextlib.contextmanager
def file_lock(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel frees it when the holder dies.

    Raises
    ------
    ServiceError
        When another process holds it for longer than `timeout_s` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        expected=f"the lock within {timeout_s:g} s",
                        got="another process that holds it",
                        where=str(path),
                        do="wait for the other command to end",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Replace a file by `text`, owner-only; readers see the old content or the new, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def rotate(log: Path, *, keep: int = 3) -> None:
    """Move `log` to `log.1`, `log.1` to `log.2` and so on, and drop what comes after `keep`."""
    for number in range(keep, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)


def tail(log: Path, *, lines: int = 20) -> str:
    """Return the last lines of a log file, an empty text when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _birth(process: psutil.Process) -> str:
    # /proc counts in ticks since boot and is exact; the wall clock that psutil reports moves when the clock is set.
    stat = Path(f"/proc/{process.pid}/stat")
    try:
        ticks = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return f"{process.create_time():.2f}"
    return f"{boot}/{ticks}"


def _reap(pid: int) -> None:
    # A child that ended stays a zombie until it is waited for; those of other code are not ours to wait for.
    if pid in _children:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                return
        _children.discard(pid)
