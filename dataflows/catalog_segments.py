"""Keeps the newest index segment near to the catalogue: builds it beside the loop, saves it, announces it, prunes old ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

from dataflows.faust_app import Ends, OneOwnerTable
from dataflows.part import Part
from operators.index.builder import SegmentBuilder, prune, publish
from operators.index.rebuild import Rebuild
from schemas.catalog import ItemVector, SegmentAnnounced
from schemas.codec import DecodeError, decode, encode
from schemas.validity import keyed

HORIZON = timedelta(hours=24)
KEY = b"items"


def readable(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield video id and vector of each row that keeps its contract; anybody can write to a topic, so some may not."""
    for key, value in rows:
        try:
            item = keyed(ItemVector, "video_id", key, value)
        except DecodeError:
            continue
        yield item.video_id, item.vector


class Segments:
    """Segments of all videos of a table.

    Parameters
    ----------
    part
        The process.
    vectors
        `ItemVector` by video id, kept on `catalog.vectors`.
    announced
        `SegmentAnnounced` under one key, kept on `catalog.segments`.
    ends
        Tells where `catalog.vectors` ends.
    dim
        Dimensions of a vector.
    """

    def __init__(self, part: Part, *, vectors: OneOwnerTable, announced: OneOwnerTable, ends: Ends, dim: int) -> None:
        self.part = part
        self.vectors = vectors
        self.announced = announced
        self.ends = ends
        self.dim = dim
        self.store = part.settings.home / "segments"
        self.builder = SegmentBuilder(seed=part.settings.seed, exact_below=part.settings.exact_below)
        self.rebuild = Rebuild()
        self._videos = part.gauge("catalog_segment_videos", "Videos in the newest index segment.")
        self._recall = part.gauge("catalog_segment_recall", "Recall of the newest index segment, by probe.")
        self._seconds = part.histogram("catalog_build_seconds", "Time to build and save an index segment.")

    def newest(self) -> SegmentAnnounced | None:
        """Return the segment that is announced."""
        value = self.announced.get(KEY)
        try:
            return None if value is None else decode(SegmentAnnounced, value)
        except DecodeError as error:
            self.part.log.warning("the announced segment keeps no contract", expected=error.expected, got=error.got, path=error.path)
            return None

    def changed(self, n: int) -> None:
        """Note `n` changes of the table."""
        if n:
            self.rebuild.changed(n, now_ms=now_ms())

    async def catch_up(self) -> None:
        """After a start: note a change if the segment that is announced does not hold the table as it stands."""
        newest = self.newest()
        is_current = newest is not None and newest.vectors_offset == await self.ends(self.vectors.changelog_topic)
        if not is_current or (newest is not None and not (self.store / newest.path).is_dir()):
            self.changed(len(self.vectors))

    async def on_time(self) -> None:
        """Build a segment when one is due."""
        if not self.rebuild.due(size=len(self.vectors), now_ms=now_ms()):
            return
        # The offset is asked for before the copy is taken: all below it is in the copy.
        offset = await self.ends(self.vectors.changelog_topic)
        if offset is None:
            return
        started = time.monotonic()
        rows = list(self.vectors.items())
        self.rebuild.started()
        announced = await asyncio.to_thread(self._build, rows, offset)
        before = self.newest()
        self.announced[KEY] = encode(announced)
        replaced = None if before is None else before.path
        gone = await asyncio.to_thread(prune, self.store, current=announced.path, replaced=replaced, now_ms=now_ms(), horizon=HORIZON)
        took = time.monotonic() - started
        self.rebuild.finished(took=timedelta(seconds=took), now_ms=now_ms())
        self._seconds.observe(took)
        self._videos.set(announced.count)
        self._recall.set(announced.recall_probe or 0.0)
        self.part.log.info(
            "segment announced", segment=announced.segment_id, videos=announced.count, seconds=round(took, 3), pruned=len(gone)
        )

    def _build(self, rows: list[tuple[bytes, bytes]], offset: int) -> SegmentAnnounced:
        vectors = {video_id: vector for video_id, vector in readable(rows) if len(vector) == self.dim}
        segment = self.builder.build(vectors, dim=self.dim)
        return publish(segment, self.store, built_ms=now_ms(), vectors_offset=offset, recall_probe=self.builder.probe(segment, vectors))


def now_ms() -> int:
    """Return the time of the clock."""
    return time.time_ns() // 1_000_000
