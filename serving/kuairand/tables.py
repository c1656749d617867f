"""Parquet and CSV files as checked columns: every complaint names the file, what was expected and what was there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from serving.errors import ConfigError

ADVICE = "give a folder laid out as KuaiRand-Pure is"


def read_parquet(path: Path, columns: list[str]) -> pa.Table:
    """Read some columns of a Parquet file.

    Raises
    ------
    ConfigError
        If the file cannot be read as Parquet, or a column is missing.
    """
    try:
        present = pyarrow.parquet.read_schema(path).names
        _require(path, columns, present)
        return pyarrow.parquet.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "a Parquet file", error) from error


def read_csv(path: Path, columns: list[str]) -> pa.Table:
    """Read some columns of a CSV file with a header, every value as text; an empty field is null.

    Raises
    ------
    ConfigError
        If the file cannot be read as CSV, or a column is missing.
    """
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True, null_values=[""])
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "a CSV file with a header", error) from error
    _require(path, columns, table.column_names)
    return table.select(columns)


def integers(table: pa.Table, column: str, path: Path) -> NDArray[np.int64]:
    """Take a column as int64 of shape (n_rows,).

    Raises
    ------
    ConfigError
        If a value is missing or is no whole number.
    """
    values = table.column(column)
    if values.null_count:
        row = values.is_null().index(pa.scalar(True)).as_py()
        raise ConfigError(
            expected="a value in every row", got=f"{values.null_count} empty ones", where=_place(path, row, column), do=ADVICE
        )
    try:
        array = values.cast(pa.int64()).to_numpy()
    except pa.ArrowException:
        row = next(number for number, value in enumerate(values) if not _is_integer(value))
        got = repr(values[row].as_py())
        raise ConfigError(expected="a whole number", got=got, where=_place(path, row, column), do=ADVICE) from None
    return np.asarray(array, dtype=np.int64)


def _is_integer(value: pa.Scalar) -> bool:
    try:
        value.cast(pa.int64())
    except pa.ArrowException:
        return False
    return True


def _place(path: Path, row: int, column: str) -> str:
    """Return where a cell is: by the line of a CSV file, whose header is line 1, else by the row from 0."""
    return f"{path} " + (f"line {row + 2}" if path.suffix == ".csv" else f"row {row}") + f", column {column!r}"


def lists_of_integers(table: pa.Table, column: str, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take a column of lists as values of shape (n_values,) and offsets of shape (n_rows + 1,); a null list is empty.

    Raises
    ------
    ConfigError
        If the column does not hold lists of whole numbers.
    """
    values = table.column(column).combine_chunks()
    try:
        lists = values.cast(pa.list_(pa.int64()))
        lengths = np.asarray(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
        flat = np.asarray(lists.flatten().to_numpy(zero_copy_only=False))
    except pa.ArrowException as error:
        got = f"{values.type} ({error})"
        raise ConfigError(expected=f"lists of whole numbers in column {column!r}", got=got, where=str(path), do=ADVICE) from error
    return flat.astype(np.int64), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def texts(table: pa.Table, column: str) -> list[str | None]:
    """Take a column as text, None where it is empty."""
    values: list[str | None] = table.column(column).to_pylist()
    return values


def _require(path: Path, columns: list[str], present: list[str]) -> None:
    missing = [column for column in columns if column not in present]
    if missing:
        raise ConfigError(
            expected=f"column {', '.join(missing)}",
            got=f"columns {', '.join(present)}",
            where=str(path),
            do=ADVICE,
        )


def _unreadable(path: Path, expected: str, error: Exception) -> ConfigError:
    return ConfigError(expected=expected, got=str(error), where=str(path), do=ADVICE)
