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


def test_a_recording_from_before_there_were_several_kinds_of_artifacts_comes_out_the_same(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=10)
    plain = msgspec.json.decode(msgspec.json.encode(made.save()))
    plain["segments"] = [{"segment_id": one["path"], **one} for one in plain.pop("artifacts")]
    assert plain["segments"]
    (tmp_path / "run" / "manifest.json").write_bytes(msgspec.json.encode(plain))
    assert made.replay().same


def test_an_announcement_that_is_gone_or_fits_no_contract_is_named(tmp_path: Path) -> None:
    made = run(tmp_path / "run", answers=10)
    made.side("catalog.segments", "items", b"{")
    end = len(made.topics["catalog.segments"])
    _say_of_segments(made, 0, end)
    _say_of_segments(made, 1, end + 1)
    made.save()
    assert made.replay().reasons == {
        f"what was announced at offset {end - 1} of catalog.segments fits no contract": 1,
        f"what was announced at offset {end} of catalog.segments is not in the recording": 1,
    }


def test_a_segment_that_was_taken_back_is_out_of_use_from_there_on(tmp_path: Path) -> None:
    made = Run(tmp_path / "run")
    made.announce()
    worker = made.start("feed-0@1")
    made.load_segment(worker)
    before = made.answer(worker)
    made.side("catalog.segments", "items", None)
    worker.tables.apply("catalog.segments", 0, 1, b"items", None)
    without = made.answer(worker)
    made.announce()
    made.load_segment(worker)
    after = made.answer(worker)
    made.save()
    assert [one.segment_id is None for one in (before, without, after)] == [False, True, False]
    assert [one.offsets["catalog.segments/0"] for one in (before, without, after)] == [1, 2, 3]
    assert made.replay().same


def _say_of_segments(made: Run, nth: int, end: int) -> None:
    made.tamper(lambda one: msgspec.structs.replace(one, offsets=one.offsets | {"catalog.segments/0": end}), nth=nth)
