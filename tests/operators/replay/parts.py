"""Writes partitions of a recording."""

from __future__ import annotations

from pathlib import Path

from operators.replay.columns import PartWriter, Record
from operators.replay.manifest import Made, RecordedPart, digest
from operators.replay.wholeness import Wholeness

MADE = Made(penstock="0", commit=None, python="3", numpy="2", machine="test")


def written(folder: Path, topic: str, partition: int, records: list[Record], *, end: int | None, gone: set[int]) -> RecordedPart:
    """Write a partition up to an offset, without the records that are gone."""
    end = len(records) if end is None else end
    whole = Wholeness(start=0)
    path = folder / f"{topic}-{partition}.parquet"
    with PartWriter(path) as writer:
        for one in records[:end]:
            if one.offset not in gone:
                whole.saw(one.offset, one.key)
                writer.add(one)
    whole.ended(end)
    return RecordedPart(
        topic=topic,
        partition=partition,
        file=path.name,
        start=0,
        end=end,
        records=writer.records,
        bytes=path.stat().st_size,
        missing=whole.missing,
        whole_from=whole.whole_from,
        sha256=digest(path),
    )
