from __future__ import annotations

import numpy as np

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Upsert, VectorUpserts
from schemas.catalog import CatalogItem
from schemas.codec import encode

MAKE = VectorUpserts(vectors=ContentVectors(), simhash=SimHash())


def record(offset: int, video_id: str, **fields: object) -> Upsert:
    return Upsert(offset, video_id.encode(), encode(CatalogItem(video_id=video_id, **fields)))  # type: ignore[arg-type]  # any field


def test_the_last_record_of_a_video_wins() -> None:
    good, bad, _ = MAKE([record(0, "a", tags=("x",)), record(1, "b"), record(2, "a", tags=("y",)), Upsert(3, b"b", None)])
    assert not bad
    assert list(good) == ["a", "b"]
    assert good["b"] is None
    assert good["a"] == MAKE([record(2, "a", tags=("y",))])[0]["a"]


def test_a_batch_equals_its_records_one_by_one() -> None:
    records = [record(i, f"v{i % 7}", tags=(f"t{i}",), title="some words about it") for i in range(20)] + [Upsert(20, b"v3", None)]
    one_by_one = {}
    for one in records:
        one_by_one.update(MAKE([one])[0])
    assert MAKE(records)[0] == one_by_one


def test_vector_and_simhash_are_those_of_the_item() -> None:
    item = CatalogItem(video_id="a", title="how to make fresh pasta", tags=("cooking",))
    vector = MAKE([Upsert(5, b"a", encode(item))])[0]["a"]
    assert vector is not None
    assert (np.frombuffer(vector.vector, dtype=np.int8) == ContentVectors()([item])[0]).all()
    assert vector.simhash == int(SimHash()([item])[0]) != 0
    assert vector.catalog_offset == 5


def test_records_that_fit_no_contract_are_refused_with_a_reason_and_stop_nothing() -> None:
    wrong = [
        Upsert(0, b"a", b"{"),
        Upsert(1, b"a", b'{"video_id":7}'),
        Upsert(2, b"a", encode(CatalogItem(video_id="b"))),
        Upsert(3, None, None),
        Upsert(4, b"\xff", None),
    ]
    good, bad, _ = MAKE([*wrong, record(5, "a")])
    assert list(good) == ["a"]
    assert [refused.upsert for refused in bad] == wrong
    assert [(refused.error.reason.value, refused.error.path) for refused in bad] == [
        ("malformed", "$"),
        ("wrong_type", "$.video_id"),
        ("wrong_type", "key"),
        ("wrong_type", "key"),
        ("malformed", "key"),
    ]


def test_an_id_of_two_lines_is_refused() -> None:
    good, [bad], _ = MAKE([record(0, "a\nb"), record(1, "c")])
    assert list(good) == ["c"]
    assert bad.error.path == "$.video_id"
