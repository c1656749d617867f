"""Writes again the rows that Redis acknowledged and lost: those of the last seconds before it was killed.

Redis writes its append-only file up to 2 s late while the disk is busy. What it acknowledged in that time is gone with its process. Rows
carry versions, so writing them once more changes nothing where they are still there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from dataflows.store import StoreError, UserStore
from operators.profiles.update import UserUpdate

logger = logging.getLogger("penstock.store")

KEEP = timedelta(seconds=5)
MOST_BYTES = 64 << 20
LOOK_EVERY = timedelta(seconds=1)
_ROWS_A_WRITE = 1_000
_LEAVE_WITHIN_S = 1.0


class _Row(NamedTuple):
    at: float
    update: UserUpdate
    size: int


class RecentRows:
    """The rows that were written lately: of each person the newest, with the seen bits of all of them.

    Parameters
    ----------
    keep
        For how long a row is kept before the last moment at which the store was known to be the same process.
    most_bytes
        Of rows and bits together; beyond it the oldest are forgotten.

    Examples
    --------
    >>> recent = RecentRows()
    >>> recent.wrote([UserUpdate("u", 1, b"one", {3: b"ab"}, {}), UserUpdate("u", 2, b"two", {3: b"cd"}, {})], 10.0)
    >>> recent.updates()
    [UserUpdate(user_id='u', version=2, state=b'two', seen={3: b'abcd'}, readable={})]
    >>> recent.same_at(15.5)
    >>> recent.updates()
    []
    """

    def __init__(self, *, keep: timedelta = KEEP, most_bytes: int = MOST_BYTES) -> None:
        self.keep = keep
        self.most_bytes = most_bytes
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self._bits: deque[tuple[float, str, dict[int, bytes]]] = deque()
        self._bytes = 0

    def wrote(self, updates: Sequence[UserUpdate], at: float) -> None:
        """Take note of rows that were acknowledged; `at` in monotonic seconds never goes back."""
        rows = self._rows
        for one in updates:
            known = rows.pop(one.user_id, None)
            size = len(one.state) + sum(map(len, one.readable.values()))
            self._bytes += size if known is None else size - known.size
            rows[one.user_id] = _Row(at, one, size)
            if one.seen:
                self._bits.append((at, one.user_id, one.seen))
                self._bytes += _size(one.seen)
        while self._bytes > self.most_bytes:
            self._forget(next(iter(rows.values())).at)

    def same_at(self, at: float) -> None:
        """Forget what is safe, since at that moment the store was still the process that it was written to."""
        self._forget(at - self.keep.total_seconds())

    def wrote_again(self, at: float) -> None:
        """Take note that all of them were written once more."""
        updates = self.updates()
        self._forget(at)
        self.wrote(updates, at)

    def updates(self) -> list[UserUpdate]:
        """Return what to write again."""
        seen: dict[str, dict[int, bytes]] = {}
        for _, user_id, bits in self._bits:
            merged = seen.setdefault(user_id, {})
            for generation, some in bits.items():
                merged[generation] = merged.get(generation, b"") + some
        return [row.update._replace(seen=seen.get(user_id, {})) for user_id, row in self._rows.items()]

    def _forget(self, until: float) -> None:
        # A row is as young as the youngest bits of its person, so no bits stay without it.
        while self._rows and next(iter(self._rows.values())).at <= until:
            self._bytes -= self._rows.popitem(last=False)[1].size
        while self._bits and self._bits[0][0] <= until:
            self._bytes -= _size(self._bits.popleft()[2])


class RewritingStore:
    """A user store that is watched: when Redis is another process than before, the rows of the last seconds are written to it again.

    Parameters
    ----------
    store
        What it writes to; used by nobody else.
    recent
        What is written again; new.
    look_every
        How often Redis is asked which process it is.
    """

    def __init__(self, store: UserStore, *, recent: RecentRows | None = None, look_every: timedelta = LOOK_EVERY) -> None:
        self.store = store
        self.recent = recent or RecentRows()
        self.look_every = look_every
        self._run_id: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="rewriting", daemon=True)

    def write(self, updates: Sequence[UserUpdate]) -> None:
        """Write rows; see :meth:`dataflows.store.UserStore.write`.

        Raises
        ------
        StoreError
            If Redis does not answer or refuses; some of it may be written.
        """
        with self._lock:
            if self._run_id is None:
                self._run_id = self.store.run_id()
                self._watcher.start()
            self.store.write(updates)
            self.recent.wrote(updates, time.monotonic())

    def look(self) -> None:
        """Ask Redis which process it is, and write again what another one may have lost.

        Raises
        ------
        StoreError
            If Redis does not answer or refuses; then it is to be asked again.
        """
        with self._lock:
            at = time.monotonic()
            run_id = self.store.run_id()
            if run_id == self._run_id:
                self.recent.same_at(at)
                return
            updates = self.recent.updates()
            logger.warning("Redis is another process than before: %d rows are written again", len(updates))
            for start in range(0, len(updates), _ROWS_A_WRITE):
                self.store.write(updates[start : start + _ROWS_A_WRITE])
            self._run_id = run_id
            self.recent.wrote_again(time.monotonic())

    def close(self) -> None:
        """Watch no more, and leave the store."""
        self._ended.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=_LEAVE_WITHIN_S)
        self.store.close()

    def _watch(self) -> None:
        while not self._ended.wait(self.look_every.total_seconds()):
            try:
                self.look()
            except StoreError as error:
                logger.debug("not known yet whether Redis lost rows: %s", error)


def _size(seen: dict[int, bytes]) -> int:
    return sum(map(len, seen.values()))
