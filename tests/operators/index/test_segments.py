from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.index.builder import SegmentBuilder, prune, publish
from operators.index.exact import ExactSegment
from operators.index.hnsw import HnswSegment
from operators.index.segment import Segment, SegmentError, Vectors
from operators.tables.artifact import ArtifactError
from operators.tables.keyed import Keyed
from operators.tables.segments import IndexSegment
from schemas.catalog import SegmentAnnounced


def some(n: int, dim: int = 64, seed: int = 0) -> tuple[list[str], Vectors]:
    """Clustered unit vectors times 127."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(20, dim))
    points = centres[random.integers(20, size=n)] + random.normal(size=(n, dim)) * 0.7
    return [f"v{i:06d}" for i in range(n)], np.rint(points / np.linalg.norm(points, axis=1, keepdims=True) * 127).astype(np.int8)


def opened(store: Path, announced: SegmentAnnounced) -> Segment:
    """The segment as a worker loads it."""
    return IndexSegment(videos=Keyed()).open(store, announced)


def as_mapping(ids: list[str], vectors: Vectors) -> dict[str, bytes]:
    return {video_id: row.tobytes() for video_id, row in zip(ids, vectors, strict=True)}


def by_hand(ids: list[str], vectors: Vectors, vector: Vectors, k: int) -> list[tuple[str, int]]:
    products = [(int(row.astype(int) @ vector.astype(int)), video_id) for row, video_id in zip(vectors, ids, strict=True)]
    return [(video_id, product) for product, video_id in sorted(products, key=lambda pair: (-pair[0], pair[1]))[:k]]


def found(segment: Segment, vector: Vectors, k: int) -> list[tuple[str, int]]:
    labels, similarities = segment.search(vector, k)
    assert labels.dtype == np.int64
    assert similarities.dtype == np.float32
    return [(segment.ids[label], int(value)) for label, value in zip(labels, similarities, strict=True)]


@settings(max_examples=60, deadline=None)
@given(arrays(np.int8, (12, 4), elements=st.integers(-3, 3)), arrays(np.int8, 4, elements=st.integers(-3, 3)), st.integers(1, 20))
def test_an_exact_search_is_the_sorted_list_with_ties_by_id(vectors: Vectors, vector: Vectors, k: int) -> None:
    ids = [f"{i:02d}" for i in range(12)]
    assert found(ExactSegment(ids, vectors), vector, k) == by_hand(ids, vectors, vector, k)


@settings(max_examples=25, deadline=None)
@given(arrays(np.int8, (12, 4), elements=st.integers(-3, 3)), arrays(np.int8, 4, elements=st.integers(-3, 3)), st.integers(1, 20))
def test_a_graph_as_wide_as_the_catalogue_finds_exact_products_in_order(vectors: Vectors, vector: Vectors, k: int) -> None:
    ids = [f"{i:02d}" for i in range(12)]
    answer = found(HnswSegment.build(ids, vectors, ef=100), vector, k)
    products = {video_id: int(row.astype(int) @ vector.astype(int)) for video_id, row in zip(ids, vectors, strict=True)}
    assert answer == sorted(answer, key=lambda pair: (-pair[1], pair[0]))
    assert all(products[video_id] == product for video_id, product in answer)
    assert len({video_id for video_id, _ in answer}) == len(answer)


def test_a_graph_finds_nearly_all_true_neighbours() -> None:
    vectors = as_mapping(*some(3_000))
    builder = SegmentBuilder(exact_below=0)
    segment = builder.build(vectors, dim=64)
    assert segment.kind == "hnsw"
    assert builder.probe(segment, vectors) >= 0.98


def test_the_kind_follows_the_number_of_videos() -> None:
    builder = SegmentBuilder(exact_below=4)
    vectors = as_mapping(*some(4))
    assert builder.build(vectors, dim=64).kind == "hnsw"
    vectors.pop("v000000")
    assert builder.build(vectors, dim=64).kind == "exact"
    assert builder.probe(builder.build(vectors, dim=64), vectors) == 1.0


@pytest.mark.parametrize("exact_below", [0, 1_000])
def test_a_saved_segment_answers_as_before(tmp_path: Path, exact_below: int) -> None:
    ids, vectors = some(500)
    segment = SegmentBuilder(exact_below=exact_below).build(as_mapping(ids, vectors), dim=64)
    announced = publish(segment, tmp_path / "segments", built_ms=5, vectors_offset=500)
    loaded = opened(tmp_path / "segments", announced)
    assert (announced.count, announced.dim, announced.kind, announced.vectors_offset) == (500, 64, segment.kind, 500)
    for row in vectors[:20]:
        assert found(loaded, row, 30) == found(segment, row, 30)


@pytest.mark.parametrize("exact_below", [0, 1_000])
def test_the_same_videos_in_another_order_give_the_same_segment(tmp_path: Path, exact_below: int) -> None:
    vectors = as_mapping(*some(300))
    backwards = dict(reversed(vectors.items()))
    builder = SegmentBuilder(exact_below=exact_below)
    first = publish(builder.build(vectors, dim=64), tmp_path, built_ms=1, vectors_offset=300)
    again = publish(builder.build(backwards, dim=64), tmp_path, built_ms=1, vectors_offset=300)
    assert first == again
    assert [folder.name for folder in tmp_path.iterdir()] == [first.path]


@pytest.mark.parametrize("exact_below", [0, 1_000])
def test_a_damaged_segment_is_refused(tmp_path: Path, exact_below: int) -> None:
    ids, vectors = some(50)
    announced = publish(
        SegmentBuilder(exact_below=exact_below).build(as_mapping(ids, vectors), dim=64), tmp_path, built_ms=1, vectors_offset=50
    )
    file = next(file for file in (tmp_path / announced.path).iterdir() if file.name != "ids.json")
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(ArtifactError, match="expected sha256"):
        opened(tmp_path, announced)


def test_a_segment_that_is_not_there_is_named(tmp_path: Path) -> None:
    ids, vectors = some(5)
    announced = publish(ExactSegment(ids, vectors), tmp_path / "here", built_ms=1, vectors_offset=5)
    with pytest.raises(ArtifactError, match="no such folder"):
        opened(tmp_path / "elsewhere", announced)


def test_an_empty_catalogue_makes_a_segment_that_finds_nothing(tmp_path: Path) -> None:
    segment = SegmentBuilder(exact_below=0).build({}, dim=64)
    announced = publish(segment, tmp_path, built_ms=1, vectors_offset=0)
    assert found(opened(tmp_path, announced), np.ones(64, dtype=np.int8), 10) == []


def test_ids_out_of_order_and_vectors_of_another_size_are_refused() -> None:
    with pytest.raises(SegmentError, match="ascending"):
        ExactSegment(["b", "a"], np.zeros((2, 4), dtype=np.int8))
    with pytest.raises(SegmentError, match="one vector for each"):
        ExactSegment(["a"], np.zeros((2, 4), dtype=np.int8))
    with pytest.raises(SegmentError, match="one vector for each"):
        HnswSegment.build([], np.zeros((0, 4), dtype=np.int8))
    with pytest.raises(SegmentError, match="at video 'b'"):
        SegmentBuilder().build({"a": bytes(4), "b": bytes(3)}, dim=4)


def test_a_segment_is_kept_for_the_replay_horizon_after_its_last_use(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    names = [publish(ExactSegment(*some(n)), tmp_path, built_ms=1, vectors_offset=n).path for n in (1, 2, 3)]
    # announced: 0 at 0 h, 1 at 1 h, 2 at 2 h
    assert prune(tmp_path, current=names[0], replaced=None, now_ms=0, horizon=hour) == []
    assert prune(tmp_path, current=names[1], replaced=names[0], now_ms=3_600_000, horizon=hour) == []
    assert prune(tmp_path, current=names[2], replaced=names[1], now_ms=7_200_000, horizon=hour) == []
    assert prune(tmp_path, current=names[2], replaced=None, now_ms=7_200_001, horizon=hour) == [names[0]]
    assert prune(tmp_path, current=names[2], replaced=None, now_ms=10_800_001, horizon=hour) == [names[1]]


@pytest.mark.parametrize("path", ["..", ".", "", "../other", "a/b", "/tmp", "a/../exact-1"])
def test_an_announcement_never_leads_out_of_the_store(tmp_path: Path, path: str) -> None:
    store = tmp_path / "segments"
    announced = publish(ExactSegment(*some(5)), store, built_ms=1, vectors_offset=5)
    with pytest.raises(ArtifactError, match=r"folder"):
        opened(store, msgspec.structs.replace(announced, path=path))
