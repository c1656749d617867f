from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from dataflows.replay import asked, main
from operators.replay.again import Refused
from schemas.codec import decode
from schemas.feed import ServedRecord
from tests.operators.feed_world import NOW_MS
from tests.operators.replay.recorded import Run

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A recorded run, in a home that has its token key."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "token.key").write_bytes(KEY)
    monkeypatch.setenv("PENSTOCK_HOME", str(home))
    made = Run(tmp_path / "run", secret=KEY)
    made.live(12)
    return made


def ended(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_same_bytes_end_with_zero(made: Run, capsys: pytest.CaptureFixture[str]) -> None:
    made.save()
    assert ended(str(made.folder), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["mismatches"], report["first_mismatch"]) == (12, 0, None)
    assert (report["not_reproducible"], report["reasons"]) == (0, {})
    assert report["requests_per_s"] > 0
    assert report["workers"].keys() == {"feed-0@1", "feed-1@1"}
    assert [line.partition(":")[0] for line in report["made_otherwise"]] == ["python", "numpy", "machine"]


def test_a_difference_ends_with_one_and_is_named(made: Run, capsys: pytest.CaptureFixture[str]) -> None:
    request_id = made.tamper(lambda one: _with_version(one, "1000"))
    made.save()
    assert ended(str(made.folder), "--json") == 1
    first = json.loads(capsys.readouterr().out)["first_mismatch"]
    assert first["got"].isdigit()
    assert first | {"got": ""} == {
        "request_id": request_id,
        "stage": "state",
        "field": "model_versions[online]",
        "expected": "1000",
        "got": "",
    }
    assert ended(str(made.folder)) == 1
    shown = capsys.readouterr().out
    assert "1 differ first at state: model_versions" in shown
    assert f"request {request_id}, state: model_versions[online]" in shown


def test_what_cannot_be_replayed_ends_with_one_and_is_explained(made: Run, capsys: pytest.CaptureFixture[str]) -> None:
    made.save(leave_out=("catalog.vectors",))
    assert ended(str(made.folder)) == 1
    assert "12 not reproducible: catalog.vectors/0 is not in the recording" in capsys.readouterr().out


def test_nothing_to_replay_ends_with_one(made: Run, capsys: pytest.CaptureFixture[str]) -> None:
    made.save()
    assert ended(str(made.folder), "--worker", "feed-7") == 1
    assert "nothing to replay" in capsys.readouterr().out
    assert ended(str(made.folder), "--limit", "3") == 0


def test_no_recording_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(str(tmp_path)) == 2
    assert "expected a finished recording" in capsys.readouterr().err


def test_no_key_is_made_where_there_is_none(made: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.save()
    (tmp_path / "home" / "token.key").unlink()
    assert ended(str(made.folder)) == 1
    assert "12 not reproducible: the key of the tracking tokens is missing here" in capsys.readouterr().out
    assert list((tmp_path / "home").iterdir()) == []


def test_a_recorded_request_is_read_as_the_feed_reads_it(made: Run) -> None:
    record = decode(ServedRecord, made.topics["feed.served/0"][0].value or b"")
    read = asked(record, future_skew_ms=1_000)
    assert (read.request_id, read.now_ms) == (record.request_id, record.now_ms)
    with pytest.raises(Refused, match="expected the field user_id, got nothing"):
        asked(_asking(record, b"{}"), future_skew_ms=1_000)
    named = asked(_asking(record, b'{"user_id":"u","request_id":"other","ts_ms":%d}' % (NOW_MS - 7)), future_skew_ms=1_000)
    assert (named.request_id, named.now_ms) == ("other", NOW_MS - 7)


def _with_version(record: ServedRecord, version: str) -> ServedRecord:
    return msgspec.structs.replace(record, model_versions=record.model_versions | {"online": version})


def _asking(record: ServedRecord, raw: bytes) -> ServedRecord:
    return msgspec.structs.replace(record, request=raw)
