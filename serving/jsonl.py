"""Reads files of JSON lines of any size, one line at a time; what is no line is passed over, what is too long is named."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from schemas.explain import BOM
from serving.errors import ConfigError

LONGEST_LINE = 8 * 2**20
"""Bytes of a line that is read; no record of any topic is as long."""
_STANDARD_INPUT = Path("-")


class Line(NamedTuple):
    """A line: its number from 1, its bytes without the line's end, and whether there were more of them than are read."""

    number: int
    value: bytes
    too_long: bool = False


class Lines:
    """The lines of an open file.

    Parameters
    ----------
    file : BinaryIO
        Read from where it stands.
    raw : BinaryIO
        What is really read: another one where `file` unpacks it.
    """

    def __init__(self, file: BinaryIO, raw: BinaryIO) -> None:
        self._file = file
        self._raw = raw

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines that are not blank; a byte order mark in front of the first is no part of it."""
        number = 0
        while read := self._file.readline(LONGEST_LINE):
            number += 1
            too_long = len(read) == LONGEST_LINE and not read.endswith(b"\n")
            while too_long and (rest := self._file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            value = (read.removeprefix(BOM) if number == 1 else read).strip()
            if value:
                yield Line(number, value, too_long)

    def position(self) -> int:
        """Return how many bytes of the file have been read; 0 where that is not known."""
        return self._raw.tell() if self._raw.seekable() else 0


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    r"""Open a file of lines, unpacked where its name ends in `.gz`; `-` is standard input.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "x.jsonl"
    >>> _ = file.write_bytes(BOM + b'{}\r\n\r\n[1]')
    >>> with open_lines(file) as lines:
    ...     [(line.number, line.value) for line in lines]
    [(1, b'{}'), (3, b'[1]')]

    Raises
    ------
    ConfigError
        If a packed file is cut short, or is none.
    """
    if path == _STANDARD_INPUT:
        yield Lines(sys.stdin.buffer, sys.stdin.buffer)
        return
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            try:
                with gzip.open(raw) as file:
                    yield Lines(cast(BinaryIO, file), raw)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ConfigError(expected="a whole file of gzip", got=str(error), where=str(path), do="pack it again") from None
        else:
            yield Lines(raw, raw)
