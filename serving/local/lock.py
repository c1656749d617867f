"""The lock file of the broker: every jar by its coordinates, size and SHA-256.

`python -m serving.local.relock` resolves the roots again and rewrites the file.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from serving.errors import ConfigError

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
