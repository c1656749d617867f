"""Builds segments, announces them, and loads what was announced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shutil import rmtree

import numpy as np

from operators.index.exact import ExactSegment
from operators.index.hnsw import HnswSegment
from operators.index.segment import Segment, SegmentError, Vectors
from operators.tables.artifact import size
from schemas.catalog import SegmentAnnounced

_PROBES = 100
_PROBE_K = 100


class SegmentBuilder:
    """Turns a catalogue's vectors into a segment of the kind that searches faster at that size.

    Measured on one thread, dim 64, median microseconds of a search for 100 of a user's tastes (mean of five videos), ef 200:

    ============  =======  ============  =============
    videos        exact    hnsw          recall (hnsw)
    ============  =======  ============  =============
    7,583         88       95            0.991
    20,000        221      237           0.997
    50,000        583      337           0.988
    ============  =======  ============  =============

    Parameters
    ----------
    exact_below
        Fewest videos for a graph; below it every vector is looked at. 0: always a graph.
    ef, m, ef_construction
        See :meth:`operators.index.hnsw.HnswSegment.build`.
    seed
        Seed of the graph's levels.

    Examples
    --------
    >>> builder = SegmentBuilder(exact_below=3)
    >>> vectors = {"b": bytes([0, 127]), "a": bytes([127, 0])}
    >>> segment = builder.build(vectors, dim=2)
    >>> segment.kind, segment.ids
    ('exact', ['a', 'b'])
    """

    def __init__(self, *, exact_below: int = 20_000, ef: int = 200, m: int = 32, ef_construction: int = 200, seed: int = 0) -> None:
        self.exact_below = exact_below
        self.ef = ef
        self.m = m
        self.ef_construction = ef_construction
        self.seed = seed

    def build(self, vectors: Mapping[str, bytes], *, dim: int) -> Segment:
        """Build a segment of all videos; the same mapping, in whatever order, gives the same bytes.

        Parameters
        ----------
        vectors
            Video id to int8 vector of `dim` bytes, as in `ItemVector`.
        dim
            Dimensions of a vector.

        Raises
        ------
        SegmentError
            If a vector has another length.
        """
        ids = sorted(vectors)
        wrong = next((video_id for video_id in ids if len(vectors[video_id]) != dim), None)
        if wrong is not None:
            raise SegmentError(expected=f"vectors of {dim} bytes", got=str(len(vectors[wrong])), where=f"video {wrong!r}")
        matrix = _matrix(ids, vectors, dim)
        if len(ids) < max(self.exact_below, 1):
            return ExactSegment(ids, matrix)
        return HnswSegment.build(ids, matrix, ef=self.ef, m=self.m, ef_construction=self.ef_construction, seed=self.seed)

    def probe(self, segment: Segment, vectors: Mapping[str, bytes]) -> float:
        """Return which part of the true nearest 100 a search finds, over 100 of the segment's own videos (1.0 for an exact one).

        An answer that is as near as the true hundredth counts, whichever of equally near videos it is.
        """
        if segment.kind == "exact":
            return 1.0
        exact = ExactSegment(segment.ids, _matrix(segment.ids, vectors, segment.dim))
        probes = np.random.default_rng(self.seed).choice(len(segment), size=min(_PROBES, len(segment)), replace=False)
        found = total = 0
        for probe in probes:
            vector = np.frombuffer(vectors[segment.ids[probe]], dtype=np.int8)
            least = exact.search(vector, _PROBE_K)[1][-1]
            found += int((segment.search(vector, _PROBE_K)[1] >= least).sum())
            total += min(_PROBE_K, len(segment))
        return found / total


def _matrix(ids: Sequence[str], vectors: Mapping[str, bytes], dim: int) -> Vectors:
    return np.frombuffer(b"".join(vectors[video_id] for video_id in ids), dtype=np.int8).reshape(len(ids), dim)


def publish(segment: Segment, store: Path, *, built_ms: int, vectors_offset: int, recall_probe: float | None = None) -> SegmentAnnounced:
    """Save a segment in the store and return its announcement.

    The id is made from the contents: the same videos and vectors are the same segment, whenever it is built.
    """
    path, digest = segment.save(store)
    return SegmentAnnounced(
        segment_id=path,
        kind=segment.kind,
        path=path,
        sha256=digest,
        dim=segment.dim,
        count=len(segment),
        built_ms=built_ms,
        vectors_offset=vectors_offset,
        recall_probe=recall_probe,
        parameters=segment.parameters(),
        size_bytes=size(store / path),
    )


def load_segment(folder: Path, announced: SegmentAnnounced) -> Segment:
    """Load a segment from files whose bytes are those that were announced.

    Raises
    ------
    SegmentError
        If the files do not hold what the announcement says.
    """
    segment: Segment
    if announced.kind == "exact":
        segment = ExactSegment.load(folder)
    else:
        segment = HnswSegment.load(folder, dim=announced.dim, ef=announced.parameters.get("ef", 200))
    if (len(segment), segment.dim) != (announced.count, announced.dim):
        expected, got = f"{announced.count} vectors of dim {announced.dim}", f"{len(segment)} of {segment.dim}"
        raise SegmentError(expected=expected, got=got, where=str(folder), do="build it anew")
    return segment


def prune(store: Path, *, current: str, replaced: str | None, now_ms: int, horizon: timedelta) -> list[str]:
    """Delete segments whose last use is further back than the replay horizon, and return their names.

    The time of a folder is the last time at which it was known to be in use: when it was announced, and when it was replaced.

    Parameters
    ----------
    store
        The folder of all segments.
    current, replaced
        The segments that are announced now and were announced before.
    now_ms
        The instant of the change.
    horizon
        How long a replay may reach back.
    """
    for name in (current, replaced):
        if name is not None and (store / name).is_dir():
            os.utime(store / name, (now_ms / 1000, now_ms / 1000))
    gone: list[str] = []
    for folder in sorted(store.iterdir()):
        if folder.name != current and folder.stat().st_mtime * 1000 < now_ms - horizon / timedelta(milliseconds=1):
            rmtree(folder)
            gone.append(folder.name)
    return gone
