"""Takes the checkpoints of a process's shards in turn, and writes them beside the flow."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread

from dataflows.checkpoint import Checkpoints, Taken
from dataflows.kafka.batch import Offsets

logger = logging.getLogger("penstock.checkpoint")

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
FINISH_S = 60.0


class Keeper:
    """Writes what was taken of a shard once the output of its epoch is acknowledged; storage that is away is waited for, beside the flow.

    Each shard is taken every `every`, the shards at even distances of time, so that the flow never waits for more than one of them. A shard
    whose last checkpoint is still being written is taken later.

    Parameters
    ----------
    checkpoints
        Where to.
    shards
        Those of this process.
    every
        Seconds between two checkpoints of a shard, above 0: what is done again after a crash is at most so old, and two epochs.

    Attributes
    ----------
    written
        Shards that were written by this process.
    """

    def __init__(self, checkpoints: Checkpoints, shards: Sequence[int], *, every: float = 5.0) -> None:
        if every <= 0:
            text = f"expected more than 0 seconds, got {every}, at every"
            raise ValueError(text)
        self.checkpoints = checkpoints
        self.shards = tuple(shards)
        self.every = every
        began = time.monotonic()
        self._due = {shard: began + every * (place + 1) / len(self.shards) for place, shard in enumerate(self.shards)}
        self.written: set[int] = set()
        self._taken: dict[int, Taken] = {}
        self._written: dict[int, Future[None]] = {}
        self._queue: SimpleQueue[tuple[int, Taken, Future[None]]] = SimpleQueue()
        self._writer: Thread | None = None

    def start(self) -> Offsets:
        """Return where the inputs go on."""
        return self.checkpoints.offsets(self.shards)

    def is_due(self, shard: int) -> bool:
        """Return whether a shard is to be taken now."""
        return time.monotonic() >= self._due.get(shard, 0.0) and shard not in self._taken and self.is_free(shard)

    def is_free(self, shard: int) -> bool:
        """Return whether the last checkpoint of a shard is written, so that the next one need not wait for it."""
        written = self._written.get(shard)
        return written is None or written.done()

    def take(self, shard: int, taken: Taken) -> None:
        """Hold what was taken of a shard at the end of an epoch, until that is confirmed.

        Raises
        ------
        CheckpointError
            When the shard's last checkpoint could not be written for damage on the storage.
        """
        self._wait(shard)
        self._taken[shard] = taken
        late = time.monotonic() - self._due.get(shard, 0.0)
        self._due[shard] = time.monotonic() + self.every - late % self.every

    def confirm(self, shard: int) -> None:
        """Write what is held of a shard: all output of that epoch is acknowledged."""
        taken = self._taken.pop(shard, None)
        if taken is not None:
            self.write(shard, taken)

    def write(self, shard: int, taken: Taken) -> None:
        """Write what was taken of a shard, beside the flow, when its last checkpoint is written.

        What is whole is held as long as that takes, in the place of what is held already: the flow does not wait for storage that is away.

        Raises
        ------
        CheckpointError, TimeoutError
            As `finish`.
        """
        if taken.is_whole and not self.is_free(shard):
            self._taken[shard] = taken
            return
        self._wait(shard)
        self._taken.pop(shard, None)
        if self._writer is None:
            self._writer = Thread(target=self._write, name="checkpoints", daemon=True)
            self._writer.start()
        written: Future[None] = Future()
        self._written[shard] = written
        self._queue.put((shard, taken, written))

    def finish(self) -> None:
        """Write all that is held, and wait for it: the flow has ended and its output is acknowledged.

        Raises
        ------
        CheckpointError
            When a checkpoint could not be written for damage on the storage.
        TimeoutError
            When the storage is away; the checkpoints before these count.
        """
        for shard in list(self._taken):
            self._wait(shard)
            self.confirm(shard)
        for shard in list(self._written):
            self._wait(shard)

    def _wait(self, shard: int) -> None:
        written = self._written.pop(shard, None)
        if written is not None:
            written.result(FINISH_S)

    def _write(self) -> None:
        while True:
            shard, taken, written = self._queue.get()
            try:
                self._put(shard, taken)
            except Exception as error:  # noqa: BLE001  # it is raised where the flow waits for it
                written.set_exception(error)
            else:
                self.written.add(shard)
                written.set_result(None)

    def _put(self, shard: int, taken: Taken) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                self.checkpoints.put(shard, taken)
            except OSError as error:
                logger.warning("the checkpoint of shard %d waits: %s", shard, error)
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                return
