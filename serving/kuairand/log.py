"""The folder of a KuaiRand log, read and cleaned into columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.codec import DecodeError
from schemas.validity import EARLIEST_MS, LATEST_MS, plausible
from serving.errors import ConfigError
from serving.kuairand.tables import ADVICE, integers, lists_of_integers, read_csv, read_parquet, texts

Ints = NDArray[np.int64]

LOG_PATTERN = "log_standard_*.parquet"
SEQUENCES_FILE = "user_sequences.parquet"
VIDEOS_FILE = "video_features_basic_pure.csv"

LOG_COLUMNS = [
    "user_id",
    "video_id",
    "date",
    "time_ms",
    "tab",
    "play_time_ms",
    "duration_ms",
    "is_click",
    "long_view",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "is_profile_enter",
]
SEQUENCE_COLUMNS = ["watch_seq", "like_seq", "long_watch_seq"]
LONGEST_MS = 864_000_000
"""Duration of a video, at most: as the catalogue has it."""
VIDEO_COLUMNS = ["video_id", "author_id", "tag", "video_duration", "upload_dt", "music_id"]

_EXPECTED = {"video_duration": f"milliseconds from 0 to {LONGEST_MS:,}", "upload_dt": "a day from 1990 to 2100 as YYYY-MM-DD"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Histories:
    """What people did before the stream: row i of `user_id` (n,) owns `values[name][offsets[name][i] : offsets[name][i + 1]]`."""

    user_id: Ints
    values: dict[str, Ints]
    offsets: dict[str, Ints]

    def of(self, name: str, row: int) -> Ints:
        """Return one person's list: `watch_seq`, `like_seq` or `long_watch_seq`, video ids, oldest first."""
        offsets = self.offsets[name]
        return self.values[name][offsets[row] : offsets[row + 1]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The videos, n of them; `duration_ms` (n,) is 0 and the lists hold None where the folder does not say."""

    video_id: Ints
    author_id: list[str | None]
    tags: list[tuple[str, ...]]
    duration_ms: Ints
    uploaded_ms: list[int | None]
    music_id: list[str | None]


@dataclass(frozen=True, slots=True)
class KuaiRandLog:
    """A clean log, n impressions in order of `time_ms`.

    Parameters
    ----------
    columns : dict of str to int64 (n,)
        The columns of LOG_COLUMNS. `date` is the day as the log has it (20220427); the log's days do not begin at one instant.
    histories : Histories
        What was watched, liked and watched long before the stream.
    catalogue : Catalogue
        The videos.
    raw_rows : int
        Rows before cleaning.
    """

    columns: dict[str, Ints]
    histories: Histories
    catalogue: Catalogue
    raw_rows: int

    def __len__(self) -> int:
        return len(self.columns["time_ms"])

    def __getitem__(self, column: str) -> Ints:
        return self.columns[column]

    @property
    def days(self) -> list[int]:
        """The days of the log, in order."""
        days: list[int] = np.unique(self.columns["date"]).tolist()
        return days

    def check_times(self, folder: Path) -> None:
        """Check that the log's times are epoch milliseconds.

        Raises
        ------
        ConfigError
            If they are in another unit, which is named.
        """
        for at_ms in self["time_ms"][[0, -1]].tolist():
            try:
                plausible(at_ms, path="time_ms")
            except DecodeError as error:
                where = f"{folder / LOG_PATTERN}, column 'time_ms'"
                raise ConfigError(expected=error.expected, got=error.got, where=where, do=ADVICE) from None


def read_folder(path: str | Path) -> KuaiRandLog:
    """Read and clean the log in a folder.

    Rows are sorted by `time_ms` (stable, files in order of their names); of rows with the same user, video and `time_ms` the first is kept.

    Parameters
    ----------
    path : str or Path
        A folder with one or more `log_standard_*.parquet`, `user_sequences.parquet` and `video_features_basic_pure.csv`.

    Raises
    ------
    ConfigError
        If a file or a column is missing or cannot be read, or the log is empty.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(expected="a folder", got="none" if not folder.exists() else "a file", where=str(folder), do=ADVICE)
    files = sorted(folder.glob(LOG_PATTERN))
    if not files:
        raise _missing(folder, LOG_PATTERN)
    for name in (SEQUENCES_FILE, VIDEOS_FILE):
        if not (folder / name).is_file():
            raise _missing(folder, name)
    raw = _read_log(files)
    if not len(raw["time_ms"]):
        raise ConfigError(expected="at least one impression", got="none", where=str(folder / LOG_PATTERN), do=ADVICE)
    return KuaiRandLog(
        columns=_clean(raw),
        histories=_read_histories(folder / SEQUENCES_FILE),
        catalogue=_read_catalogue(folder / VIDEOS_FILE),
        raw_rows=len(raw["time_ms"]),
    )


def _missing(folder: Path, name: str) -> ConfigError:
    there = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "an empty folder"
    return ConfigError(expected=f"file {name}", got=there, where=str(folder), do=ADVICE)


def _read_log(files: list[Path]) -> dict[str, Ints]:
    tables = [(file, read_parquet(file, LOG_COLUMNS)) for file in files]
    return {column: np.concatenate([integers(table, column, file) for file, table in tables]) for column in LOG_COLUMNS}


def _clean(raw: dict[str, Ints]) -> dict[str, Ints]:
    order = np.argsort(raw["time_ms"], kind="stable")
    columns = {name: values[order] for name, values in raw.items()}
    keys = np.stack([columns["user_id"], columns["video_id"], columns["time_ms"]])
    # lexsort is stable, so that the first row of a run of equal keys is the earliest one.
    by_key = np.lexsort(keys)
    first = np.ones(len(by_key), bool)
    first[1:] = (keys[:, by_key[1:]] != keys[:, by_key[:-1]]).any(axis=0)
    kept = np.sort(by_key[first])
    return {name: values[kept] for name, values in columns.items()}


def _read_histories(path: Path) -> Histories:
    table = read_parquet(path, ["user_id", *SEQUENCE_COLUMNS])
    lists = {column: lists_of_integers(table, column, path) for column in SEQUENCE_COLUMNS}
    return Histories(
        user_id=integers(table, "user_id", path),
        values={column: values for column, (values, _) in lists.items()},
        offsets={column: offsets for column, (_, offsets) in lists.items()},
    )


def _read_catalogue(path: Path) -> Catalogue:
    table = read_csv(path, VIDEO_COLUMNS)
    return Catalogue(
        video_id=integers(table, "video_id", path),
        author_id=texts(table, "author_id"),
        tags=[_tags(text) for text in texts(table, "tag")],
        duration_ms=np.array(_cells(table, "video_duration", path, _duration_ms), dtype=np.int64),
        uploaded_ms=_cells(table, "upload_dt", path, _uploaded_ms),
        music_id=texts(table, "music_id"),
    )


def _cells(table: pa.Table, column: str, path: Path, read: Callable[[str | None], T]) -> list[T]:
    """Read each cell of a column of a CSV file; the header is line 1."""
    values: list[T] = []
    for line, text in enumerate(texts(table, column), 2):
        try:
            values.append(read(text))
        except (ValueError, OverflowError):
            where = f"{path} line {line}, column {column!r}"
            raise ConfigError(expected=_EXPECTED[column], got=repr(text), where=where, do=ADVICE) from None
    return values


def _tags(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def _duration_ms(text: str | None) -> int:
    """Return a duration; raises ValueError or OverflowError where it is none, 0 where nothing is said."""
    duration_ms = 0 if text is None else round(float(text))
    if not 0 <= duration_ms <= LONGEST_MS:
        raise ValueError(text)
    return duration_ms


def _uploaded_ms(text: str | None) -> int | None:
    """Return the start of a day (UTC); raises ValueError or OverflowError where it is none."""
    if text is None:
        return None
    uploaded_ms = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
    if not EARLIEST_MS <= uploaded_ms <= LATEST_MS:
        raise ValueError(text)
    return uploaded_ms
