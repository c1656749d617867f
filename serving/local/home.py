"""Where the state of a checkout and the downloads of a user are kept."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from schemas.topics import load_parts

_ARTIFACTS = "artifacts"
"""What side views announce and feed workers load (operators.tables.artifact), whoever made it."""
_FOLDERS = ("kafka", "redis", "logs", "run", "segments", "recovery")


@dataclass(frozen=True)
class Home:
    """The state folder of one checkout, readable by its owner only.

    Parameters
    ----------
    root : Path
        The folder; made by :meth:`create`, nothing happens before.

    Examples
    --------
    >>> Home(Path("/srv/feeds")).kafka.as_posix()
    '/srv/feeds/kafka'
    """

    root: Path

    @classmethod
    def default(cls) -> Home:
        """Return `$PENSTOCK_HOME`, else `.penstock` in the checkout, else the user's state folder."""
        configured = os.environ.get("PENSTOCK_HOME")
        if configured:
            return cls(Path(configured).expanduser().absolute())
        checkout = Path(__file__).resolve().parents[2]
        if (checkout / "topics.yaml").is_file():
            return cls(checkout / ".penstock")
        return cls(_user_folder("XDG_STATE_HOME", ".local/state") / "penstock")

    @property
    def kafka(self) -> Path:
        """Configuration and log segments of the broker."""
        return self.root / "kafka"

    @property
    def redis(self) -> Path:
        """Configuration and append-only file of Redis."""
        return self.root / "redis"

    @property
    def logs(self) -> Path:
        """One log file per part."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Process marks, chosen ports and locks."""
        return self.root / "run"

    @property
    def segments(self) -> Path:
        """Published index segments."""
        return self.root / "segments"

    @property
    def recovery(self) -> Path:
        """Recovery stores of the dataflows."""
        return self.root / "recovery"

    def of_parts(self) -> list[Path]:
        """Return the folders in which parts keep what belongs to the topics of this broker: wiped with them."""
        return [self.root / name for name in sorted({_ARTIFACTS, *(name for part in load_parts().values() for name in part.folders)})]

    def create(self) -> Home:
        """Make the folder and its parts, owner-only, and return it; a root that is there keeps its own mode."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.root / name for name in _FOLDERS):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
        return self


def cache_folder() -> Path:
    """Return the user's cache folder for downloads, shared by all checkouts: `$XDG_CACHE_HOME/penstock`."""
    return _user_folder("XDG_CACHE_HOME", ".cache") / "penstock"


def wipe(folder: Path) -> None:
    """Delete everything in `folder`, the folder itself included, when it exists."""
    if folder.exists():
        shutil.rmtree(folder)


def _user_folder(variable: str, fallback: str) -> Path:
    configured = os.environ.get(variable)
    return Path(configured).expanduser() if configured else Path.home() / fallback
