"""The catalogue as columns: what filters and re-ranking must know of a video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from operators.profiles.seen import hashes, positions
from operators.tables.keyed import Keyed
from operators.tables.view import Shared, SideView, ViewExample
from schemas.catalog import CatalogItem
from schemas.keys import SEEN_HASHES
from schemas.validity import catalog_item, key_id

MAX_TAGS = 8
UNKNOWN_MS = -1
NEVER_MS = 2**63 - 1


class ItemTable(SideView[CatalogItem]):
    """One row per video; `listed` is true while the catalogue holds it.

    A row exists from the video's first mention on any topic, so neighbours, counters and vectors may come before the catalogue's record.

    Parameters
    ----------
    videos
        The row space, shared with every other table of videos.
    creators, tags
        The code spaces of creators and tags, shared with their counters; -1 is "unknown".

    Attributes
    ----------
    records
        The catalogue's record of each row, None while not listed.
    hashes : (n,) uint64
        A hash of the id, the same in every process: orders ties and draws samples without looking at row numbers.
    seen_bits : (n, SEEN_HASHES) uint16
        Bits of each video in a seen bitmap.
    """

    topic = "catalog.items"
    message = CatalogItem

    def __init__(self, *, videos: Keyed, creators: Keyed, tags: Keyed) -> None:
        self.videos = videos
        self.creators = creators
        self.tags = tags
        self.audios = Keyed()
        self.categories = Keyed(capacity=64)
        self.regions = Keyed(capacity=64)
        self.languages = Keyed(capacity=64)
        self.records: list[CatalogItem | None] = []
        self.n_listed = 0
        self.listed = videos.column(np.bool_)
        self.creator = videos.column(np.int32, fill=-1)
        self.audio = videos.column(np.int32, fill=-1)
        self.category = videos.column(np.int32, fill=-1)
        self.tag = videos.column(np.int32, width=(MAX_TAGS,), fill=-1)
        self.region = videos.column(np.int32, fill=-1)
        self.language = videos.column(np.int32, fill=-1)
        self.age_rating = videos.column(np.int16)
        self.uploaded_ms = videos.column(np.int64, fill=UNKNOWN_MS)
        self.expires_ms = videos.column(np.int64, fill=NEVER_MS)
        self.duration_ms = videos.column(np.int64, fill=-1)
        self.hashes = videos.column(np.uint64)
        self.seen_bits = videos.column(np.uint16, width=(SEEN_HASHES,))
        self._hashed = 0
        self._by_creator: dict[int, set[int]] = {}

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(videos=shared.videos, creators=shared.creators, tags=shared.tags)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> CatalogItem:
        """Decode a record, in the form in which every reader takes it."""
        return catalog_item(key, value).item

    def key(self, key: bytes | None) -> str:
        """Return the id of the video that is deleted."""
        return key_id(key)

    def apply(self, item: CatalogItem) -> None:
        """Take in the catalogue's record of a video."""
        row = self.videos.row(item.video_id)
        self._reach(row)
        if self.records[row] is None:
            self.n_listed += 1
        self.records[row] = item
        creator = self.creators.code(item.creator_id)
        _move(self._by_creator, row, int(self.creator.values[row]), creator)
        self.creator.values[row] = creator
        self.audio.values[row] = self.audios.code(item.audio_id)
        self.category.values[row] = self.categories.code(item.category)
        codes = [self.tags.row(tag) for tag in item.tags[:MAX_TAGS]]
        self.tag.values[row] = codes + [-1] * (MAX_TAGS - len(codes))
        self.region.values[row] = self.regions.code(item.region)
        self.language.values[row] = self.languages.code(item.language)
        self.age_rating.values[row] = item.age_rating
        self.uploaded_ms.values[row] = UNKNOWN_MS if item.uploaded_ms is None else item.uploaded_ms
        self.expires_ms.values[row] = NEVER_MS if item.expires_ms is None else item.expires_ms
        self.duration_ms.values[row] = -1 if item.duration_ms is None else item.duration_ms
        self.listed.values[row] = True

    def delete(self, video_id: str) -> None:
        """Take a video out of every path; unknown ids are nothing to delete."""
        row = self.videos.find(video_id)
        if row < 0 or row >= len(self.records) or self.records[row] is None:
            return
        _move(self._by_creator, row, int(self.creator.values[row]), -1)
        self.creator.values[row] = self.category.values[row] = -1
        self.records[row] = None
        self.listed.values[row] = False
        self.n_listed -= 1

    def of_creator(self, creator: int) -> list[int]:
        """Return the listed rows of a creator, in no order that means anything."""
        return list(self._by_creator.get(creator, ()))

    def of_category(self, category: int) -> NDArray[np.intp]:
        """Return the listed rows of a category, in no order that means anything, shape (n,)."""
        return np.flatnonzero(self.category.values == category)

    def hash_new_rows(self) -> None:
        """Hash the ids of rows made since the last call; called before an answer, so that first mentions stay cheap."""
        ids = self.videos.ids
        start, n = self._hashed, len(ids)
        if start == n:
            return
        halves = hashes(ids[start:n])
        self.seen_bits.values[start:n] = positions(halves)
        self.hashes.values[start:n] = halves[:, 0] ^ halves[:, 1]
        self._hashed = n
        self._reach(n - 1)

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield one of three videos, and an endless row of changes to 20."""

        def read(table: ItemTable) -> object:
            listed = {record.video_id: record for record in table.records if record is not None}
            creators = {
                name: sorted(table.videos.names(np.array(table.of_creator(row), np.intp))) for name, row in table.creators.rows.items()
            }
            return listed, table.n_listed, {name: videos for name, videos in creators.items() if videos}

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), creators=Keyed(), tags=Keyed()),
            records=[
                ("a", CatalogItem(video_id="a", creator_id="c", tags=("t",), category="k", language="de", age_rating=16)),
                ("b", CatalogItem(video_id="b", creator_id="c", uploaded_ms=1_700_000_000_000, duration_ms=9)),
                ("d", CatalogItem(video_id="d")),
            ],
            read=read,
            endless=lambda n: (
                f"v{n % 20}",
                CatalogItem(video_id=f"v{n % 20}", creator_id=f"c{n % 7}", category=f"k{n % 3}", title=f"{n:9}"),
            ),
            bound=200,
        )

    def _reach(self, row: int) -> None:
        missing = row + 1 - len(self.records)
        if missing > 0:
            self.records.extend([None] * missing)


def _move(groups: dict[int, set[int]], row: int, old: int, new: int) -> None:
    """Take a row out of the group `old` and put it into `new`; -1 is no group."""
    if old == new:
        return
    if old >= 0:
        groups[old].discard(row)
    if new >= 0:
        groups.setdefault(new, set()).add(row)
