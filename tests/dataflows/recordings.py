"""Recorded input and expected output of a dataflow under tests/golden/; `python -m tests.dataflows.write_golden` writes missing ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Message

GOLDEN = Path(__file__).parent.parent / "golden"
CLOSE = 1e-4
TOMBSTONE = msgspec.Raw(b"null")


class Recorded(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A record of an input topic; `value` is JSON (null: a tombstone), `text` a value that is no JSON."""

    topic: str
    offset: int
    key: str
    partition: int = 0
    stamp_ms: int = 0
    value: msgspec.Raw = TOMBSTONE
    text: str | None = None

    def message(self) -> Message:
        """Return it as the broker would give it."""
        value: bytes | None = bytes(self.value) if self.text is None else self.text.encode()
        if value == bytes(TOMBSTONE):
            value = None
        return Message(self.topic, self.partition, self.offset, self.key.encode(), value, timestamp=(2, self.stamp_ms))


def read_input(folder: str) -> list[Recorded]:
    """Return the recorded input of a dataflow, in order."""
    return [msgspec.json.decode(line, type=Recorded) for line in (GOLDEN / folder / "input.jsonl").read_bytes().splitlines()]


def read_output(folder: str) -> Any:
    """Return the expected output of a dataflow, as plain JSON."""
    return msgspec.json.decode((GOLDEN / folder / "output.json").read_bytes())


def write_input(folder: str, records: Iterable[Recorded]) -> None:
    """Write a recorded input where there is none yet."""
    write(GOLDEN / folder / "input.jsonl", b"".join(msgspec.json.encode(one) + b"\n" for one in records))


def write_output(folder: str, output: Any) -> None:
    """Write an expected output where there is none yet."""
    write(GOLDEN / folder / "output.json", msgspec.json.format(msgspec.json.encode(output), indent=1) + b"\n")


def assert_close(got: Any, expected: Any, *, at: str = "$") -> None:
    """Compare plain JSON: floats to `CLOSE`, everything else exactly."""
    if isinstance(expected, dict):
        assert isinstance(got, dict), at
        assert got.keys() == expected.keys(), at
        for key, value in expected.items():
            assert_close(got[key], value, at=f"{at}.{key}")
    elif isinstance(expected, list):
        assert isinstance(got, list), at
        assert len(got) == len(expected), at
        for place, (one, other) in enumerate(zip(got, expected, strict=True)):
            assert_close(one, other, at=f"{at}[{place}]")
    else:
        close = isinstance(expected, float)
        assert got == (pytest.approx(expected, rel=CLOSE, abs=CLOSE / 10) if close else expected), at


def write(path: Path, data: bytes) -> None:
    """Write a file that is not there yet."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
