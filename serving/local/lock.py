"""The lock file of the broker: every jar by its coordinates, size and SHA-256.

`python -m serving.local.lock` resolves :data:`ROOTS` again and rewrites the file.
"""

from __future__ import annotations

import hashlib
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ConfigError

ROOTS = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")


@dataclass(frozen=True, order=True)
class Jar:
    """One locked jar.

    Parameters
    ----------
    group, artifact, version : str
        Maven coordinates.
    sha256 : str
        Hexadecimal digest of the file.
    size : int
        Length of the file in bytes.
    """

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def coordinates(self) -> str:
        """The jar as `group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """The name of the file in the jar folder."""
        return f"{self.artifact}-{self.version}.jar"

    def fits(self, path: Path) -> bool:
        """Tell whether the file at `path` exists and is this jar, byte for byte."""
        return path.is_file() and path.stat().st_size == self.size and digest(path) == self.sha256


def digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """Return the jars of a lock file, sorted by coordinates.

    Raises
    ------
    ConfigError
        When the file is missing or is not a lock file.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["jar"]
        return sorted(Jar(**table) for table in tables)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            expected="a table [[jar]] for each jar of the broker",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            do="restore the file from the repository",
        ) from error


def resolve_lock() -> list[Jar]:
    """Resolve :data:`ROOTS` with their run-time dependencies, download all of them, and return what was found."""
    from jgo.maven import Dependency, MavenContext, PythonResolver

    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(folder))
        roots = []
        for root in ROOTS:
            group, artifact, version = root.split(":")
            roots.append(Dependency(context.project(group, artifact).at_version(version).artifact()))
        named, transitive = context.resolver.resolve(roots)
        jars = []
        for dependency in (*named, *transitive):
            path = dependency.artifact.resolve()
            jars.append(
                Jar(
                    group=dependency.groupId,
                    artifact=dependency.artifactId,
                    version=dependency.version,
                    sha256=digest(path),
                    size=path.stat().st_size,
                )
            )
    return sorted(jars)


def format_lock(jars: list[Jar]) -> str:
    """Return the text of a lock file."""
    head = f"# Jars of {' and '.join(ROOTS)}; written by `python -m serving.local.lock`.\n"
    tables = [
        f'\n[[jar]]\ngroup = "{jar.group}"\nartifact = "{jar.artifact}"\nversion = "{jar.version}"\n'
        f'sha256 = "{jar.sha256}"\nsize = {jar.size}\n'
        for jar in jars
    ]
    return head + "".join(tables)


if __name__ == "__main__":
    LOCK_FILE.write_text(format_lock(resolve_lock()), encoding="utf-8")
