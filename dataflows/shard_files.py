"""Checkpoints of shards in files: the state of a shard and the offsets up to which it has read, replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from schemas.codec import DecodeError, pack, unpack

Offsets = dict[tuple[str, int], int]
_DIGEST = 16
_AGAIN_S = 0.2


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A shard at one moment.

    Parameters
    ----------
    shard
        Its number.
    next
        (topic, partition, offset of the next record to read).
    state
        What its operator's `snapshot` returned.
    """

    shard: int
    next: list[tuple[str, int, int]]
    state: dict[str, Any]

    def offsets(self) -> Offsets:
        """Return the next offset by (topic, partition)."""
        return {(topic, partition): offset for topic, partition, offset in self.next}


class ShardFiles:
    """One file per shard, and the one before it; a shard belongs to one process at a time.

    A checkpoint is written beside the last one and takes its name when it is whole, so a process that is killed leaves the old one or the
    new one. One that is damaged (a power cut) is told by its digest: then the one before it counts, and its records are read again.

    Parameters
    ----------
    folder
        Where the files are, on a disk that every worker of the part sees.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locks: dict[int, int] = {}

    def claim(self, shards: Iterable[int], *, give_up: Callable[[], bool], on_wait: Callable[[int], None]) -> bool:
        """Wait until shards are nobody else's and take them, until the process ends; return False where it gave up.

        Parameters
        ----------
        shards
            Their numbers.
        give_up
            Asked again and again while it waits.
        on_wait
            Is told once of each shard that another process still has.
        """
        for shard in shards:
            lock = self._locks[shard] = os.open(self.folder / f"{shard}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            waited = False
            while not _locked(lock):
                if give_up():
                    return False
                if not waited:
                    on_wait(shard)
                    waited = True
                time.sleep(_AGAIN_S)
        return True

    def release(self) -> None:
        """Let go of all shards."""
        for lock in self._locks.values():
            os.close(lock)
        self._locks.clear()

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of its shard."""
        file, before = self._path(checkpoint.shard), self._before(checkpoint.shard)
        fresh = file.with_suffix(".new")
        data = pack(checkpoint)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(blake2b(data, digest_size=_DIGEST).digest() + data)
        if file.exists():
            before.unlink(missing_ok=True)
            before.hardlink_to(file)
        fresh.replace(file)

    def load(self, shard: int) -> Checkpoint | None:
        """Return the newest whole checkpoint of a shard, None where there is none."""
        for path in (self._path(shard), self._before(shard)):
            with contextlib.suppress(FileNotFoundError, DecodeError):
                data = path.read_bytes()
                if blake2b(data[_DIGEST:], digest_size=_DIGEST).digest() == data[:_DIGEST]:
                    return unpack(Checkpoint, data[_DIGEST:])
        return None

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard}.checkpoint"

    def _before(self, shard: int) -> Path:
        return self.folder / f"{shard}.before"


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
