"""Claims of shards: a shard belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_AGAIN_S = 0.2


class Claims:
    """One lock file per shard.

    Parameters
    ----------
    folder
        Where the files are, on a disk that every worker of the part sees.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._locks: dict[int, int] = {}

    def take(self, shards: Iterable[int], *, give_up: Callable[[], bool], on_wait: Callable[[int], None]) -> bool:
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


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
