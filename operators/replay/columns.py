"""One recorded partition as a Parquet file; the typed side of a library that has no types."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 2_048
GROUP_BYTES = 4 << 20

_SCHEMA: Any = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
    ]
)


class Record(NamedTuple):
    """A record of a partition; `timestamp_ms` is the broker's stamp, a value of None deletes."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Place(NamedTuple):
    """Where a record lies in a file."""

    group: int
    row: int


class PartWriter:
    """Writes records in row groups of at most GROUP_ROWS records or about GROUP_BYTES, whichever comes first, zstd.

    Parameters
    ----------
    path
        The file, made anew.
    """

    def __init__(self, path: Path) -> None:
        self.records = 0
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd", use_dictionary=False, write_statistics=False)
        self._waiting: list[Record] = []
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, record: Record) -> None:
        """Write one record."""
        self._waiting.append(record)
        self._bytes += len(record.value or b"")
        if len(self._waiting) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        offsets, stamps, keys, values, headers = zip(*self._waiting, strict=True)
        rows = [[{"name": name, "value": value} for name, value in some] for some in headers]
        self._writer.write_batch(pa.record_batch([offsets, stamps, keys, values, rows], schema=_SCHEMA))
        self.records += len(self._waiting)
        self._waiting = []
        self._bytes = 0


class PartReader:
    """Reads a file in order, or records of it by place.

    Parameters
    ----------
    path
        The file.
    kept
        Row groups kept unpacked for reads by place, >= 1: about GROUP_BYTES each.
    """

    def __init__(self, path: Path, *, kept: int = 2) -> None:
        self.kept = kept
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self._values: OrderedDict[int, list[bytes | None]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def groups(self, columns: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of each row group in order, as tuples of the named columns."""
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
            yield list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))

    def records(self) -> Iterator[Record]:
        """Yield every record in order."""
        for rows in self.groups(("offset", "timestamp_ms", "key", "value", "headers")):
            for offset, stamp, key, value, headers in rows:
                yield Record(offset, stamp, key, value, tuple((one["name"], one["value"]) for one in headers or ()))

    def value(self, place: Place) -> bytes | None:
        """Return the value of the record at a place."""
        values = self._values.get(place.group)
        if values is None:
            table = self._file.read_row_group(place.group, columns=["value"], use_threads=False)
            values = self._values[place.group] = table.column("value").to_pylist()
            if len(self._values) > self.kept:
                self._values.popitem(last=False)
        else:
            self._values.move_to_end(place.group)
        return values[place.row]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
