"""A tiny folder laid out as KuaiRand-Pure is, with rows that a test names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from serving.kuairand.log import LOG_COLUMNS

WriteFolder = Callable[..., Path]

# user, video, day, time_ms and what else is not zero: user 1 has watched video 3 before the stream.
ROWS: list[dict[str, int]] = [
    {"user_id": 1, "video_id": 1, "date": 20300101, "time_ms": 1_000, "tab": 1, "play_time_ms": 500, "is_click": 1, "long_view": 1},
    {"user_id": 2, "video_id": 1, "date": 20300102, "time_ms": 2_000, "tab": 0, "play_time_ms": 0, "is_click": 1},
    {
        "user_id": 1,
        "video_id": 2,
        "date": 20300103,
        "time_ms": 3_000,
        "tab": 1,
        "play_time_ms": 900,
        "is_click": 1,
        "long_view": 1,
        "is_like": 1,
    },
    {"user_id": 1, "video_id": 3, "date": 20300103, "time_ms": 3_500, "tab": 1, "play_time_ms": 100, "is_click": 1, "long_view": 1},
    {"user_id": 1, "video_id": 1, "date": 20300103, "time_ms": 3_600, "tab": 1, "play_time_ms": 100, "is_click": 1, "long_view": 1},
    {"user_id": 2, "video_id": 3, "date": 20300104, "time_ms": 4_000, "tab": 4, "play_time_ms": 50, "duration_ms": 40, "long_view": 1},
    {"user_id": 2, "video_id": 4, "date": 20300104, "time_ms": 4_000, "tab": 4, "play_time_ms": 70, "is_click": 1, "long_view": 1},
]
SEQUENCES: list[dict[str, Any]] = [{"user_id": 1, "watch_seq": [9, 3], "like_seq": [], "long_watch_seq": [3]}]
VIDEOS = """\
video_id,author_id,video_type,upload_dt,video_duration,music_id,tag
1,70,NORMAL,2030-01-01,800.0,5,39
2,71,AD,2030-01-01,,6,"1,2"
3,70,NORMAL,,300,,
"""


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Write a folder; each argument replaces one of its files, `logs` maps the names of log files to their rows."""

    def write(
        rows: list[dict[str, int]] | None = None,
        *,
        logs: dict[str, list[dict[str, int]]] | None = None,
        sequences: list[dict[str, Any]] | None = None,
        videos: str = VIDEOS,
        without: str | None = None,
    ) -> Path:
        columns = [column for column in LOG_COLUMNS if column != without]
        for name, content in (logs or {"log_standard_any.parquet": ROWS if rows is None else rows}).items():
            table = pa.table({column: pa.array([row.get(column, 0) for row in content], pa.int64()) for column in columns})
            pyarrow.parquet.write_table(table, tmp_path / name)
        lists = SEQUENCES if sequences is None else sequences
        names = ["watch_seq", "like_seq", "long_watch_seq"]
        sequence_table = {"user_id": pa.array([row["user_id"] for row in lists], pa.int64())}
        sequence_table |= {name: pa.array([row[name] for row in lists], pa.list_(pa.int64())) for name in names}
        pyarrow.parquet.write_table(pa.table(sequence_table), tmp_path / "user_sequences.parquet")
        (tmp_path / "video_features_basic_pure.csv").write_text(videos)
        return tmp_path

    return write
