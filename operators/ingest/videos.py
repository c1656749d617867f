"""Keeps the fields of each video that events are joined with, in buckets."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

import msgspec

from operators.ingest.arrivals import Upsert

VIDEO_BUCKETS = 64


class Video(NamedTuple):
    """What an event is joined with."""

    creator_id: str | None
    tags: tuple[str, ...]
    duration_ms: int | None
    category: str | None


class Videos:
    """The catalogue as far as events are joined with it, in buckets.

    Parameters
    ----------
    most : int
        Videos in memory at most; those beyond are not known.

    Examples
    --------
    >>> from schemas.catalog import CatalogItem
    >>> videos = Videos(most=10)
    >>> videos.upsert(Upsert("v", CatalogItem(video_id="v", category="animals")))
    >>> videos.get("v"), videos.get("w"), videos.n, videos.n_with_category
    (Video(creator_id=None, tags=(), duration_ms=None, category='animals'), None, 1, 1)
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.n = 0
        self.n_with_category = 0
        self._buckets: list[dict[str, Video]] = [{} for _ in range(VIDEO_BUCKETS)]

    def get(self, video_id: str) -> Video | None:
        """Return a video, None where it is not known."""
        return self._buckets[bucket_of(video_id)].get(video_id)

    def upsert(self, upsert: Upsert) -> None:
        """Take in a change of the catalogue."""
        videos = self._buckets[bucket_of(upsert.video_id)]
        before = videos.pop(upsert.video_id, None)
        if before is not None:
            self._count(before, -1)
        item = upsert.item
        if item is not None and self.n < self.most:
            video = videos[upsert.video_id] = Video(item.creator_id, item.tags, item.duration_ms, item.category)
            self._count(video, 1)

    def buckets(self) -> list[int]:
        """Return the buckets that hold videos."""
        return [bucket for bucket, videos in enumerate(self._buckets) if videos]

    def snapshot(self, bucket: int) -> bytes:
        """Return the videos of a bucket; empty where it holds none."""
        videos = self._buckets[bucket]
        return msgspec.msgpack.encode(videos) if videos else b""

    def restore(self, bucket: int, state: bytes) -> None:
        """Take back what `snapshot` returned, into a bucket that is empty."""
        self._buckets[bucket] = msgspec.msgpack.decode(state, type=dict[str, Video]) if state else {}
        for video in self._buckets[bucket].values():
            self._count(video, 1)

    def _count(self, video: Video, by: int) -> None:
        self.n += by
        self.n_with_category += by * (video.category is not None)


def bucket_of(video_id: str) -> int:
    """Return the bucket that a video is kept in."""
    return crc32(video_id.encode()) % VIDEO_BUCKETS
