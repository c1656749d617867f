"""Served pages on disk, beside the state of the label join: segments that are appended to, the oldest deleted."""

from __future__ import annotations

import os
from pathlib import Path

from operators.joins.pages import Place


class PageFiles:
    """A page store in files; what was put survives `kill -9` of the process.

    The recovery snapshots hold places only, so they stay small. A process never appends to a segment of an earlier one, so a torn
    tail is never read: no snapshot names it.

    Parameters
    ----------
    folder
        Where the segments stand.
    max_bytes
        Size of all segments together; above it the oldest goes. 512 MB hold 30 minutes of 100 answers of 20 items a second.
    segment_bytes
        Size at which a new segment begins.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 512 << 20, segment_bytes: int = 32 << 20) -> None:
        if not 0 < segment_bytes <= max_bytes:
            message = f"expected 1 to {max_bytes}, got {segment_bytes}, at segment_bytes"
            raise ValueError(message)
        self.folder = folder
        self.max_bytes = max_bytes
        self.segment_bytes = segment_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sizes = {int(path.stem): path.stat().st_size for path in sorted(folder.glob("*.pages"))}
        self._open: dict[int, int] = {}
        self._current = -1

    def put(self, data: bytes) -> Place:
        """Keep bytes; return where."""
        if self._current < 0 or self._sizes[self._current] + len(data) > self.segment_bytes:
            self._begin()
        offset = self._sizes[self._current]
        view = memoryview(data)
        while view:
            view = view[os.write(self._open[self._current], view) :]
        self._sizes[self._current] = offset + len(data)
        return (self._current, offset, len(data))

    def get(self, place: Place) -> bytes | None:
        """Return the bytes, or None where they are gone."""
        segment, offset, length = place
        if segment not in self._sizes:
            return None
        handle = self._open.get(segment)
        if handle is None:
            handle = self._open[segment] = os.open(self._path(segment), os.O_RDONLY)
        data = os.pread(handle, length, offset)
        return data if len(data) == length else None

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._open.values():
            os.close(handle)
        self._open = {}
        self._current = -1

    def _begin(self) -> None:
        self._current = max(self._sizes, default=-1) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._open[self._current] = os.open(self._path(self._current), flags, 0o600)
        self._sizes[self._current] = 0
        while sum(self._sizes.values()) + self.segment_bytes > self.max_bytes and len(self._sizes) > 1:
            self._delete(min(self._sizes))

    def _delete(self, segment: int) -> None:
        handle = self._open.pop(segment, None)
        if handle is not None:
            os.close(handle)
        self._path(segment).unlink(missing_ok=True)
        del self._sizes[segment]

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:08}.pages"
