"""Files of JSON lines as other tools write them."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from serving.errors import ConfigError
from serving.jsonl import LONGEST_LINE, open_lines

BOM = b"\xef\xbb\xbf"


def read(file: Path) -> list[tuple[int, bytes, bool]]:
    with open_lines(file) as lines:
        return [tuple(line) for line in lines]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"\n\r\n  \n", []),
        (b"a\nb\n", [(1, b"a"), (2, b"b")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\n\r\nb\r\n", [(1, b"a"), (3, b"b")]),
        (BOM + b"a\r\nb", [(1, b"a"), (2, b"b")]),
        (BOM, []),
        (b"a\n" + BOM + b"b", [(1, b"a"), (2, BOM + b"b")]),
        (b"a\rb\n", [(1, b"a\rb")]),
        (b"\xff\x00\n", [(1, b"\xff\x00")]),
    ],
)
def test_lines_are_counted_as_an_editor_counts_them_and_blank_ones_are_passed_over(
    tmp_path: Path, text: bytes, found: list[tuple[int, bytes]]
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(text)
    assert read(file) == [(*line, False) for line in found]
    packed = tmp_path / "x.jsonl.gz"
    packed.write_bytes(gzip.compress(text))
    assert read(packed) == read(file)


@pytest.mark.parametrize("packed", [gzip.compress(b"a\n" * 1_000)[:-9], b"plain text", gzip.compress(b"a")[:12] + b"\xff" * 40])
def test_a_packed_file_that_is_cut_short_or_none_is_named(tmp_path: Path, packed: bytes) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(packed)
    with pytest.raises(ConfigError, match=r"expected a whole file of gzip, got .+, at .*x\.jsonl\.gz"):
        read(file)


def test_a_line_without_an_end_is_not_read_whole_and_the_next_one_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"a\n" + b"x" * (2 * LONGEST_LINE + 5) + b"\nb\n")
    (first, long, last) = read(file)
    assert (first, last) == ((1, b"a", False), (3, b"b", False))
    assert (long[0], len(long[1]), long[2]) == (2, LONGEST_LINE, True)


def test_the_position_in_a_file_grows_to_its_end_and_that_of_a_pipe_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"a\n" * 100_000)
    with open_lines(file) as lines:
        positions = [lines.position() for _ in lines]
    assert positions == sorted(positions)
    assert positions[-1] == 200_000

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(b"a\n\nb\n")))
    with open_lines(Path("-")) as lines:
        assert [(line.number, line.value, lines.position()) for line in lines] == [(1, b"a", 0), (3, b"b", 0)]
