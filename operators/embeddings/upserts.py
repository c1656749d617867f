"""From records of the catalogue to records of vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from schemas.catalog import CatalogItem, ItemVector
from schemas.codec import DecodeError
from schemas.validity import catalog_item, key_id


class Upsert(NamedTuple):
    """A record of the catalogue: its offset, its key, and its value; None deletes the video."""

    offset: int
    key: bytes | None
    value: bytes | None


class Refused(NamedTuple):
    """A record that is no catalogue item, and why."""

    upsert: Upsert
    error: DecodeError


class Made(NamedTuple):
    """What a batch of catalogue records comes to.

    Attributes
    ----------
    vectors : dict of str to ItemVector or None
        The newest vector of each video in order of last mention; None: deleted.
    refused : list of Refused
        The records that are no catalogue items.
    cut : Counter of str
        How often each field was longer than its bound.
    """

    vectors: dict[str, ItemVector | None]
    refused: list[Refused]
    cut: Counter[str]


class VectorUpserts:
    """Turns a batch of catalogue records into the newest vector of each video they name.

    The last record of a video wins. The result depends on the records alone, so a batch that is worked on twice gives the same bytes.

    Parameters
    ----------
    vectors
        Makes the content vectors.
    simhash
        Makes the SimHashes.

    Examples
    --------
    >>> upserts = VectorUpserts(vectors=ContentVectors(), simhash=SimHash())
    >>> good, bad, cut = upserts([Upsert(7, b"1", b'{"video_id":"1","tags":["cooking"]}'), Upsert(8, b"2", None), Upsert(9, b"3", b"{")])
    >>> [(video_id, vector and vector.catalog_offset) for video_id, vector in good.items()], bad[0].error.reason.value
    ([('1', 7), ('2', None)], 'malformed')
    >>> cut
    Counter()
    """

    def __init__(self, *, vectors: ContentVectors, simhash: SimHash) -> None:
        self.vectors = vectors
        self.simhash = simhash

    def __call__(self, upserts: Sequence[Upsert]) -> Made:
        """Return the vectors, the records that were refused, and what was cut."""
        newest: dict[str, tuple[int, CatalogItem | None]] = {}
        refused: list[Refused] = []
        cut: Counter[str] = Counter()
        for upsert in upserts:
            try:
                video_id, item, shortened = _read(upsert)
            except DecodeError as error:
                refused.append(Refused(upsert, error))
                continue
            cut.update(shortened)
            newest.pop(video_id, None)
            newest[video_id] = upsert.offset, item
        items = [item for _, item in newest.values() if item is not None]
        made = zip(self.vectors(items), self.simhash(items).tolist(), strict=True)
        result: dict[str, ItemVector | None] = {}
        for video_id, (offset, item) in newest.items():
            if item is None:
                result[video_id] = None
                continue
            vector, simhash = next(made)
            result[video_id] = ItemVector(video_id=video_id, vector=vector.tobytes(), simhash=simhash, catalog_offset=offset)
        return Made(result, refused, cut)


def _read(upsert: Upsert) -> tuple[str, CatalogItem | None, tuple[str, ...]]:
    if upsert.value is None:
        return key_id(upsert.key), None, ()
    item, cut = catalog_item(upsert.key, upsert.value)
    return item.video_id, item, cut
