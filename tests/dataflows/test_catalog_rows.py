"""Rows of the catalogue's tables that somebody else wrote do not keep the part from starting."""

from __future__ import annotations

from dataflows.catalog_segments import readable
from schemas.catalog import ItemVector
from schemas.codec import encode


def test_rows_that_keep_no_contract_are_passed_over() -> None:
    good = encode(ItemVector(video_id="a", vector=b"\x01" * 64, simhash=0, catalog_offset=0))
    rows = [(b"a", good), (b"b", b'"junk"'), (b"\xff", good), (b"c", b"{")]
    assert list(readable(rows)) == [("a", b"\x01" * 64)]
