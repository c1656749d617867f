"""rows of people → Redis; no epoch closes before its rows are acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from dataflows.kafka.shutdown import Shutdown
from dataflows.store import StoreError
from operators.profiles.update import UserUpdate

logger = logging.getLogger("penstock.store")

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0
SLICE_S = 0.1


class Store(Protocol):
    """Takes rows of people."""

    def write(self, updates: Sequence[UserUpdate]) -> None:
        """Write rows, or raise StoreError."""

    def close(self) -> None:
        """Leave the store."""


class UserSink(FixedPartitionedSink[Sequence[UserUpdate], None]):
    """Writes rows to the user store, in order, and again until they are acknowledged: a store that is away or killed is waited for.

    Parameters
    ----------
    store
        Where to.
    shutdown
        When requested while the store is away, the flow ends with an error, its epoch not closed: the rows come again at the next start.
    spent
        Called with the seconds that a write took; waiting for a store that is away does not count.
    """

    def __init__(self, store: Store, *, shutdown: Shutdown | None = None, spent: Callable[[float], None] | None = None) -> None:
        self.store = store
        self.shutdown = shutdown or Shutdown()
        self.spent = spent

    def list_parts(self) -> list[str]:
        """Return the one part of this process."""
        return ["users"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> UserSinkPart:
        """Return the part; it meets the store at its first row."""
        return UserSinkPart(self)


class UserSinkPart(StatefulSinkPartition[Sequence[UserUpdate], None]):
    """The part of a :class:`UserSink`."""

    def __init__(self, sink: UserSink) -> None:
        self._sink = sink

    def write_batch(self, values: list[Sequence[UserUpdate]]) -> None:
        """Write rows and return when they are acknowledged.

        Raises
        ------
        StoreError
            When the store is away and shutdown is requested.
        """
        sink = self._sink
        updates = [update for some in values for update in some]
        wait_s = FIRST_WAIT_S
        while True:
            started = time.monotonic()
            try:
                sink.store.write(updates)
            except StoreError as error:
                if sink.shutdown.requested:
                    raise
                logger.warning("%d rows wait: %s", len(updates), error)
                self._pause(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                break
        if sink.spent is not None:
            sink.spent(time.monotonic() - started)

    def snapshot(self) -> None:
        """Save nothing: what was written is acknowledged."""

    def close(self) -> None:
        """Leave the store."""
        self._sink.store.close()

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._sink.shutdown.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_S))
