"""Side tables as they stood at recorded offsets: the recorded side topics, applied no further than an answer had seen them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from operators.replay.columns import PartReader
from operators.replay.manifest import Manifest, RecordedPart
from operators.tables.artifact import Announced, ArtifactError
from operators.tables.side import SideTables
from schemas.errors import PenstockError


class NotReproducible(PenstockError):  # noqa: N818  # an answer that cannot be made again, not a fault
    """What an answer depended on is not in the recording; the message is the reason, the same for all answers that share it."""

    def __init__(self, reason: str) -> None:
        super().__init__(expected="what an answer depended on", got=reason, where="the recording")

    def __str__(self) -> str:
        return self.got


class _Move(NamedTuple):
    """What is to be in use of an artifact from an answer on: nothing where `announced` is None; `end` is its offset in the lineage."""

    place: str
    end: int
    announced: Announced | None = None
    content: Any = None


class RecordedSide:
    """Brings side tables, empty at first, to the offsets of one answer after another.

    Topics only go on, from one answer to the next. Artifacts may also go back: a worker loads what is announced beside the stream, and one
    that has just started may answer before it has loaded any. The offset that it writes down is the one after the announcement that is in
    use, so an artifact is installed here when that offset moves, whatever else was announced meanwhile.

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
        parts = {f"{part.topic}/{part.partition}": part for topic in tables.topics for part in manifest.of(topic)}
        self._topics = {place: _Topic(folder, part) for place, part in parts.items() if part.topic not in tables.artifacts}
        self._announcements = {place: _records(folder, part) for place, part in parts.items() if part.topic in tables.artifacts}

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
        artifacts = {name: end for name, end in offsets.items() if _topic_of(name) in self.tables.artifacts}
        followed = {name: end for name, end in offsets.items() if name not in artifacts}
        for name, end in followed.items():
            self._check(name, end)
        moves = [self._move(name, artifacts.get(name, 0)) for name in {**self._announcements, **artifacts} if self._moves(name, artifacts)]
        for name, end in followed.items():
            self._topics[name].apply(self.tables, end)
        for move in moves:
            self._make(move)

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

    def _moves(self, place: str, offsets: Mapping[str, int]) -> bool:
        return offsets.get(place, 0) != self.tables.offsets.get(place, 0)

    def _move(self, place: str, end: int) -> _Move:
        """Find and load what must be in use, touching nothing."""
        if end == 0:
            return _Move(place, end)
        record = self._announcements.get(place, {}).get(end - 1)
        topic, _, partition = place.rpartition("/")
        if record is None:
            message = f"what was announced at offset {end - 1} of {topic} is not in the recording"
            raise NotReproducible(message)
        key, value = record
        if value is None:
            return _Move(place, end)
        announced = self.tables.apply(topic, int(partition), end - 1, key, value)
        if announced is None:
            message = f"what was announced at offset {end - 1} of {topic} fits no contract"
            raise NotReproducible(message)
        try:
            return _Move(place, end, announced, announced.open(self.folder))
        except ArtifactError:
            path = announced.message.path
            why = next((one.why for one in self.manifest.artifacts if (one.topic, one.path) == (topic, path)), "")
            message = f"the files of {path}, announced on {topic}, are not in the recording{f': {why}' if why else ''}"
            raise NotReproducible(message) from None

    def _make(self, move: _Move) -> None:
        self.tables.uninstall(move.place)
        if move.announced is not None:
            self.tables.install(move.announced, move.content)
        elif move.end > 0:
            self.tables.offsets[move.place] = move.end


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


def _topic_of(place: str) -> str:
    return place.rpartition("/")[0]


def _records(folder: Path, part: RecordedPart) -> dict[int, tuple[bytes | None, bytes | None]]:
    """Return key and value of all records of a partition by offset; announcements are few."""
    with PartReader(folder / part.file) as reader:
        return {record.offset: (record.key, record.value) for record in reader.records()}
