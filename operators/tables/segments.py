"""The index segment in use, its labels as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, NamedTuple, Self

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from operators.index.builder import load_segment, publish
from operators.index.exact import ExactSegment
from operators.index.segment import Segment
from operators.tables.artifact import Artifact, ArtifactError
from operators.tables.keyed import Keyed
from operators.tables.view import Shared, ViewExample
from schemas.catalog import SegmentAnnounced


class Installed(NamedTuple):
    """A segment in use, its labels as rows of the tables, shape (n,) intp; a row of another generation is the label's no longer."""

    announced: SegmentAnnounced
    segment: Segment
    rows: NDArray[np.intp]
    generations: NDArray[np.uint32]


class IndexSegment(Artifact[SegmentAnnounced, Segment]):
    """The newest index segment that could be loaded.

    Parameters
    ----------
    videos
        The row space of videos.
    dim
        Entries of a content vector; a segment of another size is of no use here.

    Attributes
    ----------
    installed
        The segment in use, None before the first.
    """

    topic = "catalog.segments"
    message = SegmentAnnounced
    folder: ClassVar[str] = "segments"
    one_key: ClassVar[str] = "items"

    def __init__(self, *, videos: Keyed, dim: int = 64) -> None:
        self.videos = videos
        self.dim = dim
        self.installed: Installed | None = None

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the view of a worker, empty."""
        return cls(videos=shared.videos, dim=shared.dim)

    def load(self, folder: Path, announced: SegmentAnnounced) -> Segment:
        """Load a segment."""
        segment = load_segment(folder, announced)
        if segment.dim != self.dim:
            expected, do = f"vectors of {self.dim} entries", "build the segment from the vectors of today"
            raise ArtifactError(expected=expected, got=str(segment.dim), where=str(folder), do=do)
        return segment

    def install(self, announced: SegmentAnnounced, loaded: Segment) -> None:
        """Put a segment in the place of the one in use."""
        rows = np.array([self.videos.row(video_id) for video_id in loaded.ids], dtype=np.intp)
        self.installed = Installed(announced, loaded, rows, self.videos.generation.values[rows])

    def uninstall(self) -> None:
        """Search without a segment."""
        self.installed = None

    def versions(self) -> Mapping[str, str]:
        """Return the id of the segment."""
        return {"index": "none" if self.installed is None else self.installed.announced.segment_id}

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield one of two videos, and an endless row of announcements."""
        segment = ExactSegment(["a", "b"], np.array([[9, 0], [0, 9]], dtype=np.int8))
        with TemporaryDirectory() as store:
            announced = publish(segment, Path(store), built_ms=1, vectors_offset=2)

        def read(view: IndexSegment) -> object:
            found = view.installed
            return None if found is None else (found.announced, found.segment.ids, view.videos.names(found.rows))

        yield ViewExample(
            make=lambda: cls(videos=Keyed(), dim=2),
            records=[("items", announced)],
            read=read,
            endless=lambda n: ("items", structs.replace(announced, segment_id=f"s{n}", vectors_offset=n)),
            bound=50,
            files=segment.save,
        )
