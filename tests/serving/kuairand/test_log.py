from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import ConfigError
from serving.kuairand import ranked_rows, read_folder, request_id_for, row_of
from serving.kuairand.log import VIDEO_COLUMNS

WriteFolder = Callable[..., Path]
REAL = Path(__file__).resolve().parents[4] / "shared" / "datasets" / "kuairand-pure"


def impression(**values: int) -> dict[str, int]:
    return {"user_id": 1, "video_id": 1, "date": 20300101, "time_ms": 1_000, "tab": 1} | values


def test_rows_are_ordered_by_time_and_of_equal_ones_the_first_is_kept(write_folder: WriteFolder) -> None:
    rows = [
        impression(time_ms=5_000, video_id=2),
        impression(time_ms=1_000, is_like=1),
        impression(time_ms=1_000, is_like=0),
        impression(time_ms=1_000, user_id=8),
    ]
    log = read_folder(write_folder(rows))
    assert log.raw_rows == 4
    assert log["time_ms"].tolist() == [1_000, 1_000, 5_000]
    assert log["user_id"].tolist() == [1, 8, 1]
    assert log["is_like"].tolist() == [1, 0, 0]


def test_several_log_files_are_one_log(write_folder: WriteFolder) -> None:
    later, earlier = [impression(time_ms=9_000, date=20310505)], [impression(time_ms=2_000, date=20310504)]
    log = read_folder(write_folder(logs={"log_standard_1.parquet": later, "log_standard_2.parquet": earlier}))
    assert log["time_ms"].tolist() == [2_000, 9_000]
    assert log.days == [20310504, 20310505]


def test_large_user_and_video_ids_load(write_folder: WriteFolder) -> None:
    log = read_folder(write_folder([impression(user_id=2**53 + 1, video_id=2**60)]))
    assert (log["user_id"][0], log["video_id"][0]) == (2**53 + 1, 2**60)


def test_what_the_catalogue_does_not_say_stays_unknown(write_folder: WriteFolder) -> None:
    catalogue = read_folder(write_folder()).catalogue
    assert catalogue.duration_ms.tolist() == [800, 0, 300]
    assert catalogue.tags == [("39",), ("1", "2"), ()]
    assert catalogue.uploaded_ms == [1_893_456_000_000, 1_893_456_000_000, None]
    assert catalogue.music_id == ["5", "6", None]


def test_a_person_without_lists_has_an_empty_history(write_folder: WriteFolder) -> None:
    sequences: list[dict[str, Any]] = [
        {"user_id": 1, "watch_seq": None, "like_seq": [], "long_watch_seq": [4]},
        {"user_id": 2, "watch_seq": [7, 8], "like_seq": [8], "long_watch_seq": []},
    ]
    histories = read_folder(write_folder(sequences=sequences)).histories
    assert [histories.of("watch_seq", row).tolist() for row in (0, 1)] == [[], [7, 8]]
    assert [histories.of("like_seq", row).tolist() for row in (0, 1)] == [[], [8]]
    assert [histories.of("long_watch_seq", row).tolist() for row in (0, 1)] == [[4], []]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder, got none, at .*nowhere"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["log_standard_any.parquet", "user_sequences.parquet", "video_features_basic_pure.csv"])
def test_a_missing_file_is_named(write_folder: WriteFolder, name: str) -> None:
    folder = write_folder()
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=r"expected file (log_standard_\*|user_seq|video_feat)") as caught:
        read_folder(folder)
    assert str(folder) in str(caught.value)


def test_a_missing_column_is_named_with_what_is_there(write_folder: WriteFolder) -> None:
    with pytest.raises(ConfigError, match=r"expected column long_view, got columns user_id, .*at .*log_standard_any\.parquet"):
        read_folder(write_folder(without="long_view"))


def test_a_missing_catalogue_column_is_named(write_folder: WriteFolder) -> None:
    with pytest.raises(ConfigError, match=r"expected column tag, got columns video_id, author_id"):
        read_folder(write_folder(videos="video_id,author_id,video_duration,upload_dt,music_id\n1,2,3,,4\n"))


def test_a_file_that_is_no_parquet_is_named(write_folder: WriteFolder) -> None:
    folder = write_folder()
    (folder / "user_sequences.parquet").write_text("nothing")
    with pytest.raises(ConfigError, match=r"expected a Parquet file, .*user_sequences\.parquet"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (
            "video_id,author_id,upload_dt,video_duration,music_id,tag\nx,1,2030-01-01,5,1,1\n",
            "expected a whole number, got 'x', at .*line 2, column 'video_id'",
        ),
        (
            "video_id,author_id,upload_dt,video_duration,music_id,tag\n,1,2030-01-01,5,1,1\n",
            "a value in every row, got 1 empty ones, at .*line 2, column 'video_id'",
        ),
        (
            "video_id,author_id,upload_dt,video_duration,music_id,tag\n1,1,2030-01-01,long,1,1\n",
            "expected milliseconds .*, got 'long', at .*line 2, column 'video_duration'",
        ),
        (
            "video_id,author_id,upload_dt,video_duration,music_id,tag\n1,1,yesterday,5,1,1\n",
            "expected a day .*, got 'yesterday', at .*line 2, column 'upload_dt'",
        ),
    ],
)
def test_a_wrong_value_is_named(write_folder: WriteFolder, videos: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_folder(write_folder(videos=videos))


CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            "inf",
            "-inf",
            "nan",
            "1e400",
            "-5",
            "9" * 400,
            "0001-01-01",
            "9999-12-31",
            "2030-01-01T10:00:00+02:00",
            "12.0",
            "0x10",
            "1_000",
        ]
    ),
    st.floats().map(repr),
    st.integers().map(str),
    st.dates().map(str),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='",'), max_size=12),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(VIDEO_COLUMNS), cell=CELLS)
def test_no_cell_of_the_catalogue_ends_in_anything_but_a_value_or_an_error_that_names_its_place(
    write_folder: WriteFolder, column: str, cell: str
) -> None:
    good = {"video_id": "2", "author_id": "7", "tag": "1", "video_duration": "5", "upload_dt": "2030-01-01", "music_id": "5"}
    rows = [",".join(VIDEO_COLUMNS), ",".join(good.values()), ",".join((good | {column: cell}).values())]
    try:
        read_folder(write_folder(videos="\n".join(rows) + "\n"))
    except ConfigError as error:
        assert error.where.endswith(f"video_features_basic_pure.csv line 3, column {column!r}")


def test_an_empty_log_is_an_error(write_folder: WriteFolder) -> None:
    with pytest.raises(ConfigError, match="expected at least one impression, got none"):
        read_folder(write_folder([]))


def test_ranked_rows_are_first_long_views_outside_the_history_after_two_days(write_folder: WriteFolder) -> None:
    log = read_folder(write_folder())
    # Row 3 is in the history of user 1, row 4 was shown on the first day.
    assert ranked_rows(log).tolist() == [2, 5, 6]
    assert ranked_rows(log, first_day=20300101).tolist() == [0, 2, 5, 6]
    assert ranked_rows(log, first_day=20300104).tolist() == [5, 6]


def test_a_log_of_two_days_has_no_ranked_rows_by_itself(write_folder: WriteFolder) -> None:
    log = read_folder(write_folder([impression(long_view=1), impression(long_view=1, date=20300102, time_ms=2_000, video_id=2)]))
    assert ranked_rows(log).tolist() == []
    assert ranked_rows(log, first_day=20300102).tolist() == [1]


def test_a_request_id_leads_back_to_its_row_whatever_its_prefix() -> None:
    assert row_of(request_id_for(123_456_789)) == 123_456_789
    assert row_of(f"load:{request_id_for(7)}") == 7
    assert row_of(None) is None
    assert row_of("row-7") is None


@pytest.mark.skipif(not REAL.is_dir(), reason="the KuaiRand-Pure folder is not beside this checkout")
def test_the_published_log_has_the_published_number_of_ranked_rows() -> None:
    log = read_folder(REAL)
    assert (log.raw_rows, len(log)) == (94_784, 91_805)
    assert len(ranked_rows(log)) == 19_524


def test_a_log_in_seconds_is_refused_by_that_name(write_folder: WriteFolder) -> None:
    folder = write_folder([impression(), impression(time_ms=2_000)])
    log = read_folder(folder)
    seconds = dataclasses.replace(log, columns=log.columns | {"time_ms": log["time_ms"] + 1_700_000_000})
    with pytest.raises(ConfigError, match="looks like seconds"):
        seconds.check_times(folder)
    dataclasses.replace(log, columns=log.columns | {"time_ms": log["time_ms"] + 1_700_000_000_000}).check_times(folder)
