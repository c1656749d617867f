from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from redis import Redis

from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Upsert, VectorUpserts
from operators.tables.keyed import Keyed
from operators.tables.segments import IndexSegment
from schemas.catalog import CatalogItem, ItemVector, SegmentAnnounced
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.keys import video_vector
from tests.integration.side.conftest import MakePart
from tests.integration.side.world import PartProcess, until

pytestmark = pytest.mark.integration


@pytest.fixture
def catalog(make_part: MakePart) -> PartProcess:
    return make_part("catalog", "catalog.items", "catalog.vectors", "catalog.segments", "telemetry.dlq")


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    client.close()


def segment_of(catalog: PartProcess) -> SegmentAnnounced | None:
    value = catalog.newest("catalog.segments").get("items")
    return None if value is None else decode(SegmentAnnounced, value)


def some(n: int, word: str = "pasta") -> dict[str, bytes]:
    items = [
        CatalogItem(video_id=f"v{i}", title=f"the quick {word} of day {i}", tags=(f"tag{i % 40}",), creator_id=f"c{i % 900}")
        for i in range(n)
    ]
    return {item.video_id: encode(item) for item in items}


def expected(records: list[tuple[str, bytes | None]]) -> dict[str, ItemVector]:
    make = VectorUpserts(vectors=ContentVectors(), simhash=SimHash())
    good, _, _ = make([Upsert(offset, key.encode(), value) for offset, (key, value) in enumerate(records)])
    return {video_id: vector for video_id, vector in good.items() if vector is not None}


def vectors(catalog: PartProcess) -> dict[str, ItemVector]:
    return {key: decode(ItemVector, value) for key, value in catalog.newest("catalog.vectors").items()}


def test_upserts_become_vectors_and_a_segment_and_deletions_take_them_out(catalog: PartProcess, redis: Redis) -> None:
    catalog.start()
    catalog.put("catalog.items", some(300).items())
    until(lambda: len(catalog.newest("catalog.vectors")) == 300)
    until(lambda: (segment := segment_of(catalog)) is not None and segment.count == 300)
    huge = b"{" + b" " * 990_000
    catalog.put("catalog.items", [("v7", None), ("new", encode(CatalogItem(video_id="new", tags=("chess",)))), ("bad", huge)])
    took = until(
        lambda: {"new"} == {key for key, _ in catalog.read("catalog.vectors")[300:] if key != "v7"} and "v7" not in vectors(catalog)
    )
    assert took < 2
    assert vectors(catalog) == expected(catalog.read("catalog.items"))
    until(lambda: redis.get(video_vector("new")) == vectors(catalog)["new"].vector)
    until(lambda: redis.get(video_vector("v7")) is None)
    until(lambda: (segment := segment_of(catalog)) is not None and segment.vectors_offset == 302)
    announced = segment_of(catalog)
    assert announced is not None
    segment = IndexSegment(videos=Keyed()).open(catalog.home / "segments", announced)
    assert segment.ids == sorted(vectors(catalog))
    labels, similarities = segment.search(np.frombuffer(vectors(catalog)["new"].vector, dtype=np.int8), 1)
    assert segment.ids[labels[0]] == "new"
    assert similarities[0] > 15_000
    letters = [decode(DeadLetter, value) for value in catalog.newest("telemetry.dlq").values()]
    assert [(letter.reason, letter.offset, letter.key, letter.raw) for letter in letters] == [(ReasonCode.MALFORMED, 302, b"bad", huge)]
    assert catalog.end(signal.SIGTERM) == 0


def test_a_killed_catalogue_goes_on_and_ends_with_the_same_vectors(catalog: PartProcess) -> None:
    for word in ("pasta", "pizza", "chess"):
        written = catalog.written("catalog.vectors")
        catalog.start()
        catalog.put("catalog.items", some(4_000, word).items())
        until(lambda: catalog.written("catalog.vectors") > written + 100)  # noqa: B023  # called before the next turn
        catalog.end(signal.SIGKILL)
        catalog.put("catalog.items", [("v1", None), ("v2", None)])
    catalog.start()
    want = expected(catalog.read("catalog.items"))
    assert len(want) == 3_998
    until(lambda: vectors(catalog) == want)
    until(lambda: (segment := segment_of(catalog)) is not None and segment.count == 3_998)
    assert catalog.end(signal.SIGTERM) == 0
    assert catalog.written("catalog.vectors") < 13_000


def test_a_restart_without_changes_builds_no_segment_and_writes_no_vector(catalog: PartProcess) -> None:
    catalog.start()
    catalog.put("catalog.items", some(50).items())
    until(lambda: (segment := segment_of(catalog)) is not None and segment.count == 50)
    assert catalog.end(signal.SIGTERM) == 0
    before = len(catalog.read("catalog.vectors")), len(catalog.read("catalog.segments"))
    catalog.start()
    until(lambda: catalog.log().count('"tables recovered"') == 2)
    time.sleep(4)
    assert (len(catalog.read("catalog.vectors")), len(catalog.read("catalog.segments"))) == before
    assert catalog.end(signal.SIGTERM) == 0
