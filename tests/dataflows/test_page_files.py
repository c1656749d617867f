from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dataflows.page_files import PageFiles


def test_pages_are_read_back_also_by_the_next_process(tmp_path: Path) -> None:
    pages = PageFiles(tmp_path / "pages")
    places = [pages.put(bytes([n]) * n) for n in range(1, 50)]
    other = PageFiles(tmp_path / "pages")
    more = other.put(b"new")
    for store in (pages, other):
        assert [store.get(place) for place in places] == [bytes([n]) * n for n in range(1, 50)]
    assert other.get(more) == b"new" and more[0] != places[0][0]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pages").iterdir()} == {0o600}
    pages.close()
    other.close()


def test_the_folder_is_bounded_and_the_oldest_pages_go_first(tmp_path: Path) -> None:
    pages = PageFiles(tmp_path, max_bytes=1_000, segment_bytes=100)
    places = [pages.put(f"{n:050}".encode()) for n in range(100)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000
    assert pages.get(places[0]) is None
    assert [pages.get(place) for place in places[-10:]] == [f"{n:050}".encode() for n in range(90, 100)]
    pages.close()


def test_a_torn_page_is_no_page(tmp_path: Path) -> None:
    pages = PageFiles(tmp_path)
    segment, offset, length = pages.put(b"whole")
    assert pages.get((segment, offset, length + 1)) is None
    pages.close()


def test_a_segment_greater_than_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at segment_bytes"):
        PageFiles(tmp_path, max_bytes=10, segment_bytes=11)
