"""Artifacts: files too large for a record, announced on a compacted topic, loaded beside the flow, swapped in between two answers."""

from __future__ import annotations

from abc import abstractmethod
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast, final

from operators.tables.view import SideView, only_key
from schemas.codec import decode
from schemas.errors import ContractError

_BLOCK = 1 << 20
_WAIT = "wait for the next announcement"
_ANEW = "delete the folder and build it anew"


class Announcement(Protocol):
    """What every announcement says of its files."""

    @property
    def path(self) -> str:
        """Folder of the files, in the store of the artifact."""

    @property
    def sha256(self) -> str:
        """Checksum over names and bytes of the files."""

    @property
    def size_bytes(self) -> int | None:
        """Bytes of the files together; None where whoever announced did not say."""


A = TypeVar("A", bound=Announcement)
T = TypeVar("T")


class ArtifactError(ContractError):
    """Files that are not there, are not what was announced, or cannot be loaded."""


class Artifact(SideView[A], Generic[A, T]):
    """A view of the newest announcement of its topic, once its files are loaded; A is the announcement, T what the files hold.

    A record only announces: nothing that answers read changes until `install`, and the record's offset counts in the lineage from then
    on. Announcements that fail to load leave the old one in use. A null value takes out of use what is installed.

    `folder` is where the files are, below the home of a worker and in a recording: one of its own in `artifacts/`, which is wiped with the
    topics. `one_key` is the only key of the topic: one thing is in use at a time.
    """

    folder: ClassVar[str]
    one_key: ClassVar[str]

    @abstractmethod
    def load(self, folder: Path, announced: A) -> T:
        """Load files whose bytes are those that were announced; on another thread than answers, so it touches nothing that they read.

        Raises
        ------
        ArtifactError
            If the files do not hold what the announcement says, or nothing that this worker can use.
        """

    @abstractmethod
    def install(self, announced: A, loaded: T) -> None:
        """Put what was loaded in the place of what is in use; between two answers, and cannot raise."""

    @abstractmethod
    def uninstall(self) -> None:
        """Take what is installed out of use; cannot raise."""

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> A:
        """Decode an announcement."""
        self.key(key)
        return cast("A", decode(self.message, value))

    def apply(self, record: A) -> None:
        """Change nothing yet: what is announced must be loaded first."""

    def delete(self, key: str) -> None:
        """Take what is installed out of use."""
        self.uninstall()

    def key(self, key: bytes | None) -> str:
        """Return the one key of the topic."""
        return only_key(self.one_key, key)

    @final
    def open(self, store: Path, announced: A) -> T:
        """Check announced files and load them.

        Raises
        ------
        ArtifactError
            If the files are not there, are not what was announced, or cannot be loaded.
        """
        try:
            folder = located(store, announced)
            check(folder, announced)
            return self.load(folder, announced)
        except ArtifactError:
            raise
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            where = str(store / announced.path)
            raise ArtifactError(expected="files that can be loaded", got=got, where=where, do="build them anew") from error


class Announced(NamedTuple):
    """An artifact that was announced and is to be loaded: whose, what, and where in the topic.

    `place` is `topic/partition`; `next_offset` is the offset after the announcement, which counts once it is installed.
    """

    view: Artifact[Any, Any]
    message: Any
    place: str
    next_offset: int

    def open(self, home: Path) -> Any:
        """Check the files below `home` and load them.

        Raises
        ------
        ArtifactError
            If they are not there, are not what was announced, or cannot be loaded.
        """
        return self.view.open(home / self.view.folder, self.message)


def located(store: Path, announced: Announcement) -> Path:
    """Return the folder of announced files.

    Raises
    ------
    ArtifactError
        If the path leads out of the store.
    """
    folder = store / announced.path
    if folder.parent != store or announced.path in {"", ".", ".."}:
        raise ArtifactError(expected="the name of a folder in the store", got=repr(announced.path), where=str(store), do=_WAIT)
    return folder


def check(folder: Path, announced: Announcement) -> None:
    """Check that a folder holds what was announced: first the size, which costs nothing, then every byte.

    Raises
    ------
    ArtifactError
        If the folder is not there, or its files are others.
    """
    if announced.size_bytes is not None and size(folder) != announced.size_bytes:
        raise ArtifactError(expected=f"{announced.size_bytes} bytes", got=str(size(folder)), where=str(folder), do=_ANEW)
    got = checksum(folder)
    if got != announced.sha256:
        raise ArtifactError(expected=f"sha256 {announced.sha256}", got=got, where=str(folder), do=_ANEW)


def size(folder: Path) -> int:
    """Return the bytes of the files of a folder.

    Raises
    ------
    ArtifactError
        If the folder is not there.
    """
    return sum(file.stat().st_size for file in _files(folder))


def checksum(folder: Path) -> str:
    """Return the SHA-256 over names and bytes of the files of a folder.

    Raises
    ------
    ArtifactError
        If the folder is not there.
    """
    total = sha256()
    for file in _files(folder):
        with file.open("rb") as stream:
            one = sha256()
            while block := stream.read(_BLOCK):
                one.update(block)
        total.update(f"{one.hexdigest()}  {file.name}\n".encode())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ArtifactError(expected="a folder of files", got="no such folder", where=str(folder), do=_WAIT)
    return sorted(folder.iterdir())
