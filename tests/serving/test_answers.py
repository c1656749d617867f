"""Answers and their lineage come in any order, and a line has both."""

from __future__ import annotations

import json
import queue
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.feed import FeedRequest, FeedResponse, Level, ServedRecord
from schemas.settings import Settings
from serving import answers as module
from serving.answers import AnswerFile


class Record:
    def __init__(self, request_id: str, ranked: list[str]) -> None:
        self.request_id = request_id
        self.ranked = ranked


class Tail:
    """Yields what a test puts in."""

    def __init__(self, _settings: Settings) -> None:
        self.coming: queue.SimpleQueue[Record] = queue.SimpleQueue()

    def poll(self, timeout: float) -> list[ServedRecord]:
        try:
            return [cast(ServedRecord, self.coming.get(timeout=timeout))]
        except queue.Empty:
            return []

    def close(self) -> None:
        return


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnswerFile:
    monkeypatch.setattr(module, "ServedTail", Tail)
    return AnswerFile(Settings(), tmp_path / "answers.jsonl")


def _serve(file: AnswerFile, request_id: str, *ranked: str) -> None:
    cast(Tail, file._tail).coming.put(Record(request_id, list(ranked)))


def _answer(file: AnswerFile, request_id: str, limit: int = 2) -> None:
    page = FeedResponse(request_id=request_id, user_id="u", now_ms=5, items=[], degradation_level=Level.FULL)
    file.on_answer(FeedRequest(user_id="u", request_id=request_id, limit=limit), page, 1.5)


def _lines(file: AnswerFile) -> dict[str, Any]:
    rows = [json.loads(line) for line in file.path.read_text().splitlines()]
    return {row["request_id"]: row for row in rows}


def test_a_line_has_both_whichever_came_first(file: AnswerFile) -> None:
    with file:
        _serve(file, "first", "a", "b", "c")
        _answer(file, "first")
        _answer(file, "then")
        _serve(file, "then", "d")
        _serve(file, "somebody else's", "e")
    lines = _lines(file)
    assert {name: row["ranked"] for name, row in lines.items()} == {"first": ["a", "b"], "then": ["d"]}
    assert {"request_id", "user_id", "ts_ms", "tab", "items", "ranked", "level", "latency_ms"} <= lines["then"].keys()
    assert (file.written, file.without_lineage) == (2, 0)


def test_an_answer_whose_lineage_never_comes_is_written_and_counted(file: AnswerFile) -> None:
    _answer(file, "alone")
    file.close(timeout=0.1)
    assert _lines(file)["alone"]["ranked"] == []
    assert (file.written, file.without_lineage) == (1, 1)


def test_lineage_that_nobody_claims_does_not_pile_up(file: AnswerFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_UNCLAIMED", 3)
    for n in range(10):
        file._on_served(cast(ServedRecord, Record(f"other-{n}", ["x"])))
    assert list(file._ranked) == ["other-7", "other-8", "other-9"]
    file.close()
