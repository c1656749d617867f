"""The broker's jars: fetched once into the user's cache folder, each checked by its SHA-256."""

from __future__ import annotations

import configparser
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from serving.errors import ServiceError
from serving.local.home import cache_folder, wipe
from serving.local.lock import Jar, digest, read_lock
from serving.local.processes import file_lock

if TYPE_CHECKING:
    from jgo.maven import MavenContext

Fetch = Callable[[Jar, Path], Path]
"""Downloads one jar somewhere below a scratch folder and returns its path."""

_TRIES = 3
_LOCK_WAIT_S = 900.0


def jar_folder() -> Path:
    """Return the folder with the broker's jars."""
    return cache_folder() / "jars"


def missing_jars(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Return the jars that are absent from the folder or are not what the lock file says."""
    return [jar for jar in jars if not jar.fits(folder / jar.filename)]


def ensure_jars(jars: Sequence[Jar] | None = None, folder: Path | None = None, fetch: Fetch | None = None) -> list[Path]:
    """Return the paths of all jars, after fetching those that are missing or damaged.

    A download that was cut off goes on with the next jar: a jar gets its name only when it is whole and right. Two
    processes at once fetch one after the other; the second then finds all in place.

    Parameters
    ----------
    jars : sequence of Jar, optional
        What to have; the lock file of the repository by default.
    folder : Path, optional
        Where to have it; the user's cache folder by default.
    fetch : callable, optional
        How to download one jar; by default with jgo from Maven Central or the configured mirror of it.

    Raises
    ------
    ServiceError
        When a jar cannot be had, or comes with another digest three times.
    """
    jars = read_lock() if jars is None else jars
    folder = jar_folder() if folder is None else folder
    if missing_jars(jars, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / ".lock", timeout_s=_LOCK_WAIT_S):
            _fetch_all(missing_jars(jars, folder), folder, fetch or fetch_with_jgo)
    return [folder / jar.filename for jar in jars]


def fetch_with_jgo(jar: Jar, scratch: Path) -> Path:
    """Download one jar into a Maven repository layout below `scratch` and return its path there.

    Raises
    ------
    ServiceError
        When jgo is not installed.
    """
    artifact = maven_context(scratch).project(jar.group, jar.artifact).at_version(jar.version).artifact()
    return Path(artifact.resolve())


def remote_repositories() -> dict[str, str]:
    """Return the repositories to ask, by name: jgo's own settings, then the mirror of Central in Maven's settings."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    try:
        configured = dict(GlobalSettings.load().repositories)
    except configparser.Error:
        configured = {}
    mirror = _maven_mirror(Path.home() / ".m2" / "settings.xml")
    return {**configured, "central": configured.get("central") or mirror or MAVEN_CENTRAL_URL}


def maven_context(scratch: Path) -> MavenContext:
    """Return jgo's view of the configured repositories, with `scratch` as the folder for downloads.

    Raises
    ------
    ServiceError
        When jgo is not installed.
    """
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise ServiceError(
            expected="the package jgo, which fetches the broker",
            got="it is not installed",
            where=sys.executable,
            do="run `pip install 'penstock[local]'`, or name a broker with --bootstrap-servers",
        ) from error
    return MavenContext(resolver=PythonResolver(), repo_cache=scratch, remote_repos=remote_repositories(), timeout=30)


def _maven_mirror(settings: Path) -> str | None:
    """Return the URL of the first mirror that stands for Maven Central in a settings.xml, None without one."""
    try:
        root = ET.parse(settings).getroot()
    except (OSError, ET.ParseError):
        return None
    for mirror in root.iterfind("{*}mirrors/{*}mirror"):
        stands_for = [name.strip() for name in (mirror.findtext("{*}mirrorOf") or "").split(",")]
        url = (mirror.findtext("{*}url") or "").strip()
        if url and "!central" not in stands_for and {"central", "*", "external:*"} & set(stands_for):
            return url.rstrip("/")
    return None


def _fetch_all(jars: Sequence[Jar], folder: Path, fetch: Fetch) -> None:
    if not jars:
        return
    console = Console(stderr=True)
    total = sum(jar.size for jar in jars)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("fetching Kafka", total=total)
        for number, jar in enumerate(jars, start=1):
            if not console.is_terminal:
                console.print(f"fetching Kafka: {number}/{len(jars)} {jar.filename} ({jar.size / 1e6:.1f} MB)")
            _fetch_one(jar, folder, fetch)
            progress.advance(task, jar.size)


def _fetch_one(jar: Jar, folder: Path, fetch: Fetch) -> None:
    scratch = folder / ".part"
    got = ""
    for attempt in range(_TRIES):
        wipe(scratch)
        scratch.mkdir()
        try:
            path = fetch(jar, scratch)
            if jar.fits(path):
                path.replace(folder / jar.filename)
                shutil.rmtree(scratch)
                return
            got = f"sha256 {digest(path)}"
        except (OSError, RuntimeError) as error:
            got = f"{type(error).__name__}: {error}"
        if attempt + 1 < _TRIES:
            time.sleep(0.2 * 2**attempt)
    wipe(scratch)
    raise ServiceError(
        expected=f"sha256 {jar.sha256}",
        got=got,
        where=jar.coordinates,
        do="check the network and the configured Maven repository, then run the command again",
    )
