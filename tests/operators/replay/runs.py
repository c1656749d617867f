"""Runs that were recorded, and what their replay says."""

from __future__ import annotations

from pathlib import Path

from operators.replay.run import Report
from schemas.codec import decode
from schemas.feed import ServedRecord
from tests.operators.replay.recorded import Run


def run(folder: Path, *, seed: int = 0, answers: int = 40) -> Run:
    made = Run(folder, seed)
    made.live(answers)
    return made


def served(made: Run) -> list[ServedRecord]:
    return [decode(ServedRecord, one.value or b"") for topic, records in made.topics.items() if "served" in topic for one in records]


def first(report: Report) -> tuple[str, str, str]:
    assert report.first_mismatch is not None
    return report.first_mismatch.request_id, report.first_mismatch.stage, report.first_mismatch.field
