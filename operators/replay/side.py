"""Side tables as they stood at recorded offsets: the recorded side topics, applied no further than an answer had seen them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from operators.index.builder import open_segment
from operators.index.segment import Segment, SegmentError
from operators.replay.columns import PartReader
from operators.replay.manifest import SEGMENT_TOPIC, SEGMENTS, Manifest, RecordedPart
from operators.tables.side import SideTables
from schemas.catalog import SegmentAnnounced
from schemas.codec import DecodeError, decode
from schemas.errors import PenstockError

_SEGMENT_PART = f"{SEGMENT_TOPIC}/0"


class NotReproducible(PenstockError):  # noqa: N818  # an answer that cannot be made again, not a fault
    """What an answer depended on is not in the recording; the message is the reason, the same for all answers that share it."""

    def __init__(self, reason: str) -> None:
        super().__init__(expected="what an answer depended on", got=reason, where="the recording")

    def __str__(self) -> str:
        return self.got


class RecordedSide:
    """Brings side tables, empty at first, to the offsets of one answer after another.

    Topics only go on, from one answer to the next. Segments may also go back: a worker loads what is announced beside the stream, and one
    that has just started may answer before it has loaded any. The offset of `catalog.segments` that it writes down is the one after
    the announcement that is in use, so a segment is installed here when that offset moves, whatever else was announced meanwhile.

    Parameters
    ----------
    folder, manifest
        The recording.
    tables
        The tables; nobody else applies anything to them.
    """

    def __init__(self, *, folder: Path, manifest: Manifest, tables: SideTables) -> None:
        self.folder = folder
        self.manifest = manifest
        self.tables = tables
        streamed = [topic for topic in tables.topics if topic != SEGMENT_TOPIC]
        self._topics = {f"{part.topic}/{part.partition}": _Topic(folder, part) for topic in streamed for part in manifest.of(topic)}
        self._announced = _announcements(folder, manifest)

    def bring_to(self, offsets: Mapping[str, int]) -> None:
        """Apply what an answer had seen, and nothing more.

        Parameters
        ----------
        offsets
            Per `topic/partition`, the next offset that the answer had not seen; a topic that is not named had brought nothing.

        Raises
        ------
        NotReproducible
            If the recording does not hold the state that the answer saw; nothing is applied then.
        """
        for name, topic in self._topics.items():
            if topic.reached > offsets.get(name, 0):
                message = f"{name} goes back: this worker's answers saw the side topics in no one order"
                raise NotReproducible(message)
        for name, end in offsets.items():
            if name != _SEGMENT_PART:
                self._check(name, end)
        segment = self._segment(offsets.get(_SEGMENT_PART, 0))
        for name, end in offsets.items():
            if name != _SEGMENT_PART:
                self._topics[name].apply(self.tables, end)
        if segment is not None:
            self.tables.install(*segment)
            self.tables.offsets[_SEGMENT_PART] = offsets[_SEGMENT_PART]
        elif _SEGMENT_PART not in offsets:
            self.tables.segment = None
            self.tables.offsets.pop(_SEGMENT_PART, None)

    def close(self) -> None:
        """Close every file."""
        for topic in self._topics.values():
            topic.close()

    def _check(self, name: str, end: int) -> None:
        topic = self._topics.get(name)
        if topic is None:
            message = f"{name} is not in the recording"
            raise NotReproducible(message)
        part = topic.part
        if end > part.end:
            message = f"{name} is recorded up to offset {part.end}, the answer had seen more"
            raise NotReproducible(message)
        if part.missing and end < part.whole_from:
            message = f"{name} was compacted: {part.missing} records below {part.whole_from} are gone, which the answer may have seen"
            raise NotReproducible(message)

    def _segment(self, end: int) -> tuple[SegmentAnnounced, Segment] | None:
        """Return the segment to install, None where the right one is in place or none was in use."""
        if end in {0, self.tables.offsets.get(_SEGMENT_PART, 0)}:
            return None
        announced = self._announced.get(end - 1)
        if announced is None:
            message = f"the segment announced at offset {end - 1} of {SEGMENT_TOPIC} is not in the recording"
            raise NotReproducible(message)
        try:
            return announced, open_segment(self.folder / SEGMENTS, announced)
        except (SegmentError, OSError):
            why = next((one.why for one in self.manifest.segments if one.segment_id == announced.segment_id), "")
            message = f"the files of segment {announced.segment_id} are not in the recording{f': {why}' if why else ''}"
            raise NotReproducible(message) from None


class _Topic:
    """One recorded partition of a side topic, read as far as was asked for."""

    def __init__(self, folder: Path, part: RecordedPart) -> None:
        self.part = part
        self.reached = 0
        self._reader = PartReader(folder / part.file)
        self._records = self._read()
        self._next = next(self._records, None)

    def apply(self, tables: SideTables, end: int) -> None:
        """Apply the records below `end`."""
        part = self.part
        while self._next is not None and self._next[0] < end:
            offset, key, value = self._next
            tables.apply(part.topic, part.partition, offset, key, value)
            self._next = next(self._records, None)
        tables.offsets[f"{part.topic}/{part.partition}"] = self.reached = end

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _read(self) -> Iterator[tuple[int, bytes | None, bytes | None]]:
        for rows in self._reader.groups(("offset", "key", "value")):
            yield from rows


def _announcements(folder: Path, manifest: Manifest) -> dict[int, SegmentAnnounced]:
    announced = {}
    for part in manifest.of(SEGMENT_TOPIC):
        with PartReader(folder / part.file) as reader:
            for record in reader.records():
                try:
                    announced[record.offset] = decode(SegmentAnnounced, record.value or b"")
                except DecodeError:
                    continue
    return announced
