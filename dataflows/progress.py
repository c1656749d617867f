"""How far topics have been read, where nothing comes any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

Place = tuple[str, int]


class Progress:
    """Says up to which broker stamp a partition has been read, also while it is silent.

    While messages come, that is the stamp of the last one. Of a partition that has been silent for `quiet` it is the time `quiet` ago,
    unless messages may be on their way still: nothing came since the start (for `start` at most), the topic is being caught up with, or
    this process itself stood still (a slow snapshot, a busy machine), so that it has not looked for messages in that time.

    Parameters
    ----------
    quiet
        Silence after which nothing older is expected; longer than a fetch takes.
    start
        How long a start may take until the first message.
    behind
        A topic is being caught up with while the last message read from it is older than this.
    stall
        No call for longer than this means that the process stood still.
    now
        The clock, epoch seconds.
    """

    def __init__(
        self,
        *,
        quiet: timedelta = timedelta(milliseconds=400),
        start: timedelta = timedelta(seconds=5),
        behind: timedelta = timedelta(seconds=2),
        stall: timedelta = timedelta(milliseconds=250),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.quiet = quiet
        self.start = start
        self.behind = behind
        self.stall = stall
        self.now = now
        self._began_ms = self._called_ms = self._resumed_ms = int(now() * 1000)
        self._read_ms: dict[Place, int] = {}
        self._newest: dict[str, tuple[int, bool]] = {}

    def note(self, topic: str, partition: int, stamp_ms: int) -> None:
        """Take note that a message with this stamp was read."""
        now_ms = self._now_ms()
        self._read_ms[topic, partition] = now_ms
        self._newest[topic] = (now_ms, now_ms - stamp_ms > self.behind // _MS)

    def reached(self, topic: str, partition: int) -> int:
        """Return a time before which all of a silent partition has been read, epoch milliseconds; 0 while that is unknown."""
        now_ms, quiet_ms = self._now_ms(), self.quiet // _MS
        if topic not in self._newest:
            return 0 if now_ms - self._began_ms < self.start // _MS else now_ms - quiet_ms
        newest_ms, is_behind = self._newest[topic]
        silent_ms = now_ms - max(self._resumed_ms, self._read_ms.get((topic, partition), 0))
        if silent_ms < quiet_ms or (is_behind and now_ms - newest_ms < self.behind // _MS):
            return 0
        return now_ms - quiet_ms

    def _now_ms(self) -> int:
        now_ms = int(self.now() * 1000)
        if now_ms - self._called_ms > self.stall // _MS:
            self._resumed_ms = now_ms
        self._called_ms = now_ms
        return now_ms


_MS = timedelta(milliseconds=1)
