from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from operators.replay import columns
from operators.replay.columns import PartReader, PartWriter, Place, Record

RECORDS = st.lists(
    st.builds(
        Record,
        offset=st.integers(0, 2**62),
        timestamp_ms=st.integers(-1, 2**45),
        key=st.none() | st.binary(max_size=8),
        value=st.none() | st.binary(max_size=64),
        headers=st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=4)), max_size=3).map(tuple),
    ),
    max_size=40,
)


@given(RECORDS)
def test_what_is_written_is_read(tmp_path_factory: object, records: list[Record]) -> None:
    path = tmp_path_factory.mktemp("part") / "x.parquet"  # type: ignore[attr-defined]
    with PartWriter(path) as writer:
        for record in records:
            writer.add(record)
    assert writer.records == len(records)
    with PartReader(path) as reader:
        assert list(reader.records()) == records


def test_a_file_is_cut_into_groups_and_read_by_place(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    big = bytes(columns.GROUP_BYTES // 2)
    with PartWriter(path) as writer:
        for n in range(5_000):
            writer.add(Record(n, 0, None, b"%d" % n))
        for n in range(3):
            writer.add(Record(5_000 + n, 0, None, big))
    with PartReader(path, kept=1) as reader:
        sizes = [len(rows) for rows in reader.groups(("offset",))]
        assert sizes == [2_048, 2_048, 906, 1]
        assert reader.value(Place(1, 3)) == b"2051"
        assert reader.value(Place(0, 3)) == b"3"
        assert reader.value(Place(3, 0)) == big
