"""Three parts read the catalogue, and all of them take the same records, as the same items."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from confluent_kafka import Message
from hypothesis import example, given
from hypothesis import strategies as st

from dataflows.features import _records
from dataflows.ingest import _upsert
from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Upsert, VectorUpserts
from schemas.base import Message as Contract
from schemas.catalog import CatalogItem
from schemas.codec import DecodeError, encode
from schemas.validity import catalog_item, key_id, user_record
from tests.chaos.fuzz.keyed_records import CatalogRecords, KeyedRecord, UserRecords
from tests.chaos.fuzz.pieces import Clock
from tests.operators.feed_world import NOW_MS, tables

VECTORS = ContentVectors()
Read = tuple[str, CatalogItem | None] | None
"""What a reader takes of a record: an id and its item (None: deleted); None where it refuses the record."""


def defined(record: KeyedRecord) -> Read:
    try:
        if record.value is None:
            return key_id(record.key), None
        item = catalog_item(record.key, record.value).item
    except DecodeError:
        return None
    return item.video_id, item


def by_ingest(record: KeyedRecord) -> Read:
    found = _upsert(Message("catalog.items", 0, 0, record.key, record.value, timestamp=(2, NOW_MS)))
    return None if found is None else (found.video_id, found.item)


class Feed:
    """The feed's side tables, which are told of one record after the other."""

    def __init__(self) -> None:
        self.tables = tables([])

    def __call__(self, record: KeyedRecord) -> Read:
        before = self.tables.rejected.get("catalog.items", 0)
        self.tables.apply("catalog.items", 0, 0, record.key, record.value)
        if self.tables.rejected.get("catalog.items", 0) > before:
            return None
        video_id = record.key.decode()
        row = self.tables.videos.find(video_id)
        return video_id, self.tables.items.records[row] if 0 <= row < len(self.tables.items.records) else None


def check_catalogue_part(record: KeyedRecord, expected: Read) -> None:
    """The catalogue part keeps no items: what it made of a record is seen by the vector."""
    made, refused, _ = VectorUpserts(vectors=VECTORS, simhash=SimHash())([Upsert(0, record.key, record.value)])
    assert len(refused) == (expected is None)
    assert list(made) == ([] if expected is None else [expected[0]])
    if expected is not None:
        video_id, item = expected
        vector = made[video_id]
        assert (vector is None) == (item is None)
        if item is not None and vector is not None:
            assert vector.vector == np.ascontiguousarray(VECTORS([item])[0]).tobytes()


def check(record: KeyedRecord, feed: Feed) -> Read:
    expected = defined(record)
    assert by_ingest(record) == expected
    assert feed(record) == expected
    check_catalogue_part(record, expected)
    return expected


def test_three_readers_agree_on_ten_thousand_generated_catalogue_records() -> None:
    records, feed = CatalogRecords(Random(11), Clock(NOW_MS), n=500), Feed()
    read = [check(records(), feed) for _ in range(10_000)]
    assert sum(one is None for one in read) > 2_000
    assert sum(one is not None and one[1] is None for one in read) > 300
    assert sum(one is not None and one[1] is not None for one in read) > 4_000


keys = st.binary(max_size=12) | st.text(max_size=12).map(str.encode) | st.sampled_from([b"v", b"a\tb", b"v" * 129])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(st.sampled_from([field.name for field in msgspec.structs.fields(CatalogItem)]), values, max_size=4)


@given(keys, fields, st.booleans())
@example(b"a\nb", {}, True)
@example(b"\xff", {}, True)
@example(b"", {}, True)
def test_three_readers_agree_whatever_is_written(key: bytes, found: dict[str, object], is_tombstone: bool) -> None:
    if key.isascii() and "video_id" not in found:
        found = {"video_id": key.decode(), **found}
    check(KeyedRecord(key, None if is_tombstone else msgspec.json.encode(found)), Feed())


def test_features_takes_the_people_that_the_definition_takes() -> None:
    records = UserRecords(Random(13), Clock(NOW_MS), n=500)
    taken = refused = 0
    for record in (records() for _ in range(3_000)):
        rejected: list[int] = []
        message = Message("users.records", 0, 0, record.key, record.value, timestamp=(2, NOW_MS))
        found = _records([message], lambda _, n, rejected=rejected: rejected.append(n))  # type: ignore[misc]
        try:
            user_id = key_id(record.key) if record.value is None else user_record(record.key, record.value).user_id
        except DecodeError:
            assert (found, rejected) == ([], [1])
            refused += 1
        else:
            assert [one.told and one.told.user_id for one in found] == [user_id]
            taken += 1
    assert taken > 1_000
    assert refused > 500


@pytest.mark.parametrize("kind", [CatalogRecords, UserRecords])
def test_a_record_in_canonical_form_is_read_as_it_is(kind: type[CatalogRecords] | type[UserRecords]) -> None:
    records = kind(Random(12), Clock(NOW_MS), n=500)
    canonical = 0
    for key, value in (records() for _ in range(3_000)):
        try:
            once = _read(kind, key, value or b"")
        except DecodeError:
            continue
        assert _read(kind, key, encode(once)) == once
        canonical += 1
    assert canonical > 1_000


def _read(kind: type[object], key: bytes, value: bytes) -> Contract:
    return catalog_item(key, value).item if kind is CatalogRecords else user_record(key, value)
