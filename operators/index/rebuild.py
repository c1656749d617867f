"""Decides when an index segment is worth building anew."""

from __future__ import annotations

from datetime import timedelta

_MS = timedelta(milliseconds=1)


class Rebuild:
    """Counts changes of the catalogue and says when the next segment is due.

    Changes are searchable at once beside the segment; a new one keeps that part small. One is due when the catalogue has been quiet for
    `quiet` or changes have piled up (`share` of the videos) or the oldest change is `age` old, but never sooner after the last one than
    `pause` or twenty times the time that it took.

    Parameters
    ----------
    quiet
        Without a change for so long, a load is taken to be over.
    share
        Part of the catalogue, 0 to 1, that may lie beside the segment (64 videos may always).
    age
        The longest that a change lies beside the segment; bounds what a worker has to read when it starts.
    pause
        The least time between two segments.

    Examples
    --------
    >>> rebuild = Rebuild(quiet=timedelta(seconds=2), pause=timedelta(0))
    >>> rebuild.changed(3, now_ms=0)
    >>> rebuild.due(size=3, now_ms=1_000), rebuild.due(size=3, now_ms=2_000)
    (False, True)
    """

    def __init__(
        self,
        *,
        quiet: timedelta = timedelta(seconds=2),
        share: float = 0.02,
        age: timedelta = timedelta(seconds=60),
        pause: timedelta = timedelta(seconds=5),
    ) -> None:
        if not 0 <= share <= 1:
            msg = f"expected a share from 0 to 1, got {share}"
            raise ValueError(msg)
        self.quiet = quiet
        self.share = share
        self.age = age
        self.pause = pause
        self._changes = 0
        self._first_ms = 0
        self._last_ms = 0
        self._next_ms = 0

    def changed(self, n: int, *, now_ms: int) -> None:
        """Note `n` changes."""
        if not self._changes:
            self._first_ms = now_ms
        self._changes += n
        self._last_ms = now_ms

    def due(self, *, size: int, now_ms: int) -> bool:
        """Return whether a segment of `size` videos should be built now."""
        if not self._changes or now_ms < self._next_ms:
            return False
        return (
            now_ms - self._last_ms >= self.quiet // _MS
            or now_ms - self._first_ms >= self.age // _MS
            or (self._next_ms > 0 and self._changes >= max(64, self.share * size))
        )

    def started(self) -> None:
        """Note that a build takes in all changes so far."""
        self._changes = 0

    def finished(self, *, took: timedelta, now_ms: int) -> None:
        """Note the end of a build."""
        self._next_ms = now_ms + max(self.pause, 20 * took) // _MS
