"""State too large for a snapshot at each epoch, on disk: a base, and a journal of what came since."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas.errors import ServiceError

_LENGTH = 4

Place = tuple[int, int]
"""A generation and a length of its journal."""


class JournalError(ServiceError):
    """The files are not those that the recovery store names."""


class Journal:
    """Generations of files: `N.base` holds the state as blocks, `N.journal` the batches taken in since, both length-prefixed.

    The recovery store holds a place only: generation and length. What stands behind it was written by a process that died, and is cut
    off. Frames survive `kill -9` as soon as they are appended; bases, and the journal at `sync`, survive a power cut too.

    Parameters
    ----------
    folder
        Where the files stand; owner-only.
    kept
        Generations before the newest that are kept: the recovery store may still name one of them.
    """

    def __init__(self, folder: Path, *, kept: int = 3) -> None:
        self.folder = folder
        self.kept = kept
        self._generation = 0
        self._length = 0
        self._file = -1
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def length(self) -> int:
        """Bytes in the journal of this generation."""
        return self._length

    def start(self) -> None:
        """Begin with empty state; older files go."""
        for path in self.folder.iterdir():
            path.unlink()
        self._generation = 0
        self._open()

    def resume(self, place: Place) -> tuple[Iterator[bytes], Iterator[bytes]]:
        """Return the blocks of the base and then the batches of the journal up to a place, and go on from there.

        Raises
        ------
        JournalError
            If the files do not reach as far.
        """
        self._generation, length = place
        for generation in self._generations():
            if generation > self._generation:
                self._remove(generation)
        journal = self._path("journal")
        got = journal.stat().st_size if journal.exists() else -1
        if got < length or (self._generation and not self._path("base").exists()):
            raise JournalError(
                expected=f"a base and a journal of {length} bytes",
                got=str(got),
                where=str(journal),
                do="empty this folder and the part's recovery folder, and the topics are read from their start",
            )
        os.truncate(journal, length)
        self._open()
        base = _frames(self._path("base")) if self._generation else iter(())
        return base, _frames(journal)

    def append(self, batch: bytes) -> None:
        """Write a batch behind the others."""
        view = memoryview(len(batch).to_bytes(_LENGTH, "big") + batch)
        while view:
            view = view[os.write(self._file, view) :]
        self._length += _LENGTH + len(batch)

    def sync(self) -> Place:
        """Return the place that was reached, once it is on disk."""
        os.fdatasync(self._file)
        return self._generation, self._length

    def rebase(self, blocks: Iterable[bytes]) -> None:
        """Begin the next generation with this state."""
        self._generation += 1
        part = self._path("part")
        with part.open("wb") as file:
            for block in blocks:
                file.write(len(block).to_bytes(_LENGTH, "big") + block)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._path("base"))
        self._open()
        for generation in self._generations():
            if generation < self._generation - self.kept:
                self._remove(generation)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        path = self._path("journal")
        self.close()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._length = path.stat().st_size

    def _path(self, kind: str) -> Path:
        return self.folder / f"{self._generation:08d}.{kind}"

    def _generations(self) -> list[int]:
        return sorted({int(path.stem) for path in self.folder.iterdir()})

    def _remove(self, generation: int) -> None:
        for path in self.folder.glob(f"{generation:08d}.*"):
            path.unlink()


def _frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while prefix := file.read(_LENGTH):
            yield file.read(int.from_bytes(prefix, "big"))
