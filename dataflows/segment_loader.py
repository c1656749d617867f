"""Loads announced index segments beside the flow, so that a large one does not hold up answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import NamedTuple

from operators.index.builder import open_segment
from operators.index.segment import Segment
from schemas.catalog import SegmentAnnounced


class Loaded(NamedTuple):
    """A segment in memory, its announcement, and the offset after that."""

    announced: SegmentAnnounced
    segment: Segment
    next_offset: int


class SegmentLoader:
    """One thread that loads the newest announcement; older ones that wait are skipped.

    A segment that is not there, or is not what was announced, is reported and left: the one in use stays.

    Parameters
    ----------
    store
        Folder of the segments.
    on_failure
        Called with the announcement and the error, on the loader's thread.
    """

    def __init__(self, store: Path, *, on_failure: Callable[[SegmentAnnounced, Exception], None]) -> None:
        self.store = store
        self.on_failure = on_failure
        self._changed = Condition()
        self._wanted: tuple[SegmentAnnounced, int] | None = None
        self._loaded: Loaded | None = None
        self._thread: Thread | None = None

    def offer(self, announced: SegmentAnnounced, next_offset: int) -> None:
        """Load this one next."""
        with self._changed:
            self._wanted = announced, next_offset
            self._changed.notify()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="segments", daemon=True)
            self._thread.start()

    def take(self) -> Loaded | None:
        """Return what was loaded since the last call, or None."""
        if self._loaded is None:
            return None
        with self._changed:
            loaded, self._loaded = self._loaded, None
        return loaded

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None)
                wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self._load(*wanted)

    def _load(self, announced: SegmentAnnounced, next_offset: int) -> None:
        try:
            segment = open_segment(self.store, announced)
        except Exception as error:
            self.on_failure(announced, error)
            return
        with self._changed:
            self._loaded = Loaded(announced, segment, next_offset)
