"""Folders and records that are no recording are refused or counted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from operators.replay.manifest import RecordingError
from tests.operators.replay.recorded import Run
from tests.operators.replay.runs import run


def test_records_that_fit_no_contract_are_counted(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=5)
    made.put("feed.served", 1, "x", b"{")
    made.put("feed.served", 1, "x", b'{"worker":"w","sequence":1,"request_id":"x","offsets":{}}')
    made.put("feed.responses", 1, "x", b"{")
    made.save()
    report = made.replay()
    assert (report.requests, report.not_reproducible, report.mismatches) == (8, 3, 0)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    with pytest.raises(RecordingError, match="expected a finished recording, got no manifest.json"):
        made.replay()


@pytest.mark.parametrize(("text", "what"), [(b"{", "the manifest of a recording"), (b'{"format":1}', "the manifest of a recording")])
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, text: bytes, what: str) -> None:
    made = Run(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_bytes(text)
    with pytest.raises(RecordingError, match=what):
        made.replay()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=5)
    made.save()
    with (tmp_path / "run" / "features.items-0.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    with pytest.raises(RecordingError, match="sha256"):
        made.replay()


def test_a_recording_of_a_later_format_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=2)
    msgspec.structs.replace(made.save(), format=2).save(tmp_path / "run")
    with pytest.raises(RecordingError, match="expected format 1, got 2"):
        made.replay()
