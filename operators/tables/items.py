"""The catalogue as columns: what filters and re-ranking must know of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import numpy as np

from operators.profiles.seen import hashes, positions
from operators.tables.keyed import Keyed
from operators.tables.view import Shared, SideView, ViewExample
from schemas.catalog import CatalogItem
from schemas.keys import SEEN_HASHES
from schemas.validity import catalog_item, key_id

MAX_TAGS = 8
UNKNOWN_MS = -1
NEVER_MS = 2**63 - 1
FEW_LOOSE = 4_096
"""Codes that no listed video has any more, kept of what only the catalogue names."""
_AT_ONCE = 1_024


class ItemTable(SideView[CatalogItem]):
    """One row per video; `listed` is true while the catalogue holds it.

    A row exists from the video's first mention on any topic, so neighbours, counters and vectors may come before the catalogue's record.
    The catalogue holds the rows of what it lists, and of their creators, tags and other codes.

    Parameters
    ----------
    videos
        The row space, shared with every other table of videos.
    creators, tags
        The code spaces of creators and tags, shared with their counters; -1 is "unknown".

    Attributes
    ----------
    records
        The catalogue's record of each row, None while not listed; as long as the last row that was ever listed, so read it by `record`.
    hashes : (n,) uint64
        A hash of the id, the same in every process, from the row's first listing on: orders ties and draws samples without looking at row
        numbers.
    seen_bits : (n, SEEN_HASHES) uint16
        Bits of each listed video in a seen bitmap.
    """

    topic = "catalog.items"
    message = CatalogItem

    def __init__(self, *, videos: Keyed, creators: Keyed, tags: Keyed) -> None:
        self.videos = videos
        self.creators = creators
        self.tags = tags
        self.audios = Keyed(most_loose=FEW_LOOSE)
        self.categories = Keyed(most_loose=FEW_LOOSE)
        self.regions = Keyed(most_loose=FEW_LOOSE)
        self.languages = Keyed(most_loose=FEW_LOOSE)
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
        self._unhashed: list[int] = []
        self._enter: Callable[[int], None] | None = None
        self._leave: Callable[[int], None] | None = None

    def watch(self, *, enter: Callable[[int], None], leave: Callable[[int], None]) -> None:
        """Call `enter` after a row is listed or listed anew, `leave` before that or its deletion."""
        self._enter = enter
        self._leave = leave

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
        self._trim()
        row = self.videos.row(item.video_id)
        self._reach(row)
        if self.records[row] is None:
            self._list(row, item.video_id)
        elif self._leave is not None:
            self._leave(row)
        old = self._codes(row)
        self.records[row] = item
        self._write_codes(row, item)
        for (keyed, code), (_, was) in zip(self._codes(row), old, strict=True):
            keyed.hold(code)
            keyed.let_go(was)
        self.age_rating.values[row] = item.age_rating
        self.uploaded_ms.values[row] = UNKNOWN_MS if item.uploaded_ms is None else item.uploaded_ms
        self.expires_ms.values[row] = NEVER_MS if item.expires_ms is None else item.expires_ms
        self.duration_ms.values[row] = -1 if item.duration_ms is None else item.duration_ms
        if self._enter is not None:
            self._enter(row)

    def delete(self, video_id: str) -> None:
        """Take a video out of every path; unknown ids are nothing to delete."""
        row = self.videos.find(video_id)
        if row < 0 or self.record(row) is None:
            return
        if self._leave is not None:
            self._leave(row)
        for keyed, code in self._codes(row):
            keyed.let_go(code)
        for column in (self.creator, self.audio, self.category, self.tag, self.region, self.language):
            column.values[row] = -1
        self.records[row] = None
        self.listed.values[row] = False
        self.n_listed -= 1
        self.videos.let_go(row)

    def record(self, row: int) -> CatalogItem | None:
        """Return the catalogue's record of a row, None while it is not listed."""
        return self.records[row] if row < len(self.records) else None

    def hash_new_rows(self) -> None:
        """Find the seen bits of what was listed since the last call; called before an answer, so that many are done at once."""
        if self._unhashed:
            rows, self._unhashed = self._unhashed, []
            self.seen_bits.values[rows] = positions(hashes(self.videos.ids[row] for row in rows))

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield one of three videos, and an endless row of changes to 20."""

        def read(table: ItemTable) -> object:
            listed = {record.video_id: record for record in table.records if record is not None}
            codes = {name: int(table.creator.values[table.videos.find(name)]) for name in listed}
            creators = {name: None if code < 0 else table.creators.ids[code] for name, code in codes.items()}
            return listed, table.n_listed, creators

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

    def _list(self, row: int, video_id: str) -> None:
        self.n_listed += 1
        self.listed.values[row] = True
        self.videos.hold(row)
        halves = hashes([video_id])
        self.hashes.values[row] = halves[0, 0] ^ halves[0, 1]
        self._unhashed.append(row)
        if len(self._unhashed) >= _AT_ONCE:
            self.hash_new_rows()

    def _write_codes(self, row: int, item: CatalogItem) -> None:
        self.creator.values[row] = self.creators.code(item.creator_id)
        self.audio.values[row] = self.audios.code(item.audio_id)
        self.category.values[row] = self.categories.code(item.category)
        codes = [self.tags.row(tag) for tag in item.tags[:MAX_TAGS]]
        self.tag.values[row] = codes + [-1] * (MAX_TAGS - len(codes))
        self.region.values[row] = self.regions.code(item.region)
        self.language.values[row] = self.languages.code(item.language)

    def _codes(self, row: int) -> list[tuple[Keyed, int]]:
        """Return what the record of a row holds in other row spaces, -1 where there is nothing."""
        return [
            (self.creators, int(self.creator.values[row])),
            (self.audios, int(self.audio.values[row])),
            (self.categories, int(self.category.values[row])),
            (self.regions, int(self.region.values[row])),
            (self.languages, int(self.language.values[row])),
            *((self.tags, tag) for tag in self.tag.values[row].tolist()),
        ]

    def _trim(self) -> None:
        for keyed in (self.videos, self.creators, self.tags, self.audios, self.categories, self.regions, self.languages):
            keyed.trim()

    def _reach(self, row: int) -> None:
        missing = row + 1 - len(self.records)
        if missing > 0:
            self.records.extend([None] * missing)
