"""The step that snapshots only what changed, on the real engine, crashed at every batch."""

from __future__ import annotations

import time
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution, FixedPartitionedSource, Source, StatefulSourcePartition
from bytewax.testing import TestingSink, TestingSource

from dataflows import bucketed as module
from dataflows.bucketed import Pace, bucketed
from dataflows.engine import run_to_end
from operators.base import BucketedOperator, Example, State
from operators.checks import check_changes_only_buckets_it_names, check_survives_a_crash_at_every_event
from operators.examples import traffic

EVENTS = [event.user_id for event in traffic(5, 120, users=12)]
BATCHES = [EVENTS[start : start + 10] for start in range(0, len(EVENTS), 10)]
EXPECTED = dict(Counter(EVENTS))


class Counts(BucketedOperator[str, tuple[str, int]]):
    """How often each name came; a bucket for each of its last letters."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.changed: list[str] = []
        self.saved: list[int] = []

    @property
    def pending(self) -> bool:
        return bool(self.changed)

    def touched(self, batch: Sequence[str]) -> list[int]:
        return [ord(name[-1]) for name in batch]

    def on_batch(self, batch: Sequence[str]) -> list[tuple[str, int]]:
        for name in batch:
            self.counts[name] = self.counts.get(name, 0) + 1
            self.changed.append(name)
        return []

    def on_time(self, now_ms: int) -> list[tuple[str, int]]:
        changed, self.changed = self.changed, []
        return [(name, self.counts[name]) for name in dict.fromkeys(changed)]

    def snapshot_head(self) -> State:
        return {"version": 1, "changed": list(self.changed)}

    def restore_head(self, state: State) -> None:
        self.changed = list(state["changed"])

    def snapshot_bucket(self, bucket: int) -> bytes:
        self.saved.append(bucket)
        return repr({name: n for name, n in self.counts.items() if ord(name[-1]) == bucket}).encode()

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        self.counts.update(literal_eval(state.decode()))

    def buckets(self) -> list[int]:
        return sorted({ord(name[-1]) for name in self.counts})

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        yield Example(make=cls, events=EVENTS, folded=dict)


class CrashingPart(StatefulSourcePartition[Any, int]):
    """Hands out batches from where the snapshot says, and ends the process before one of them."""

    def __init__(self, at: int, crash_before: int) -> None:
        self.at = at
        self.crash_before = crash_before

    def next_batch(self) -> list[Any]:
        if self.at == self.crash_before:
            raise AbortExecution
        if self.at == len(BATCHES):
            raise StopIteration
        self.at += 1
        return [BATCHES[self.at - 1]]

    def snapshot(self) -> int:
        return self.at


class CrashingSource(FixedPartitionedSource[Any, int]):
    def __init__(self, crash_before: int) -> None:
        self.crash_before = crash_before

    def list_parts(self) -> list[str]:
        return ["one"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> CrashingPart:
        return CrashingPart(resume_state or 0, self.crash_before)


class Forgetful(Counts):
    """Forgets every other bucket once all batches are in."""

    def __init__(self) -> None:
        super().__init__()
        self.restored: list[int] = []

    @property
    def forgets_after(self) -> timedelta:
        return timedelta(0)

    def has_forgotten(self, bucket: int) -> bool:
        return bucket % 2 == 0 and sum(self.counts.values()) == len(EVENTS)

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        self.restored.append(bucket)
        super().restore_bucket(bucket, state)


class LingeringSource(CrashingSource):
    """Goes on without batches for a while when they are all handed out."""

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> LingeringPart:
        return LingeringPart(resume_state or 0, self.crash_before)


class LingeringPart(CrashingPart):
    turns = 20

    def next_batch(self) -> list[Any]:
        if self.at < len(BATCHES):
            return super().next_batch()
        if not self.turns:
            raise StopIteration
        self.turns -= 1
        time.sleep(0.01)
        return []


def run(source: Source[Any], operator: BucketedOperator[Any, Any], store: Path | None, out: list[Any]) -> list[Any]:
    flow = Dataflow("flow")
    batches = op.input("in", flow, source)
    op.output("out", bucketed("fold", batches, operator, Pace(least=timedelta(0), share=1)), TestingSink(out))
    run_to_end(flow, epoch=timedelta(0), store=store)
    return out


def test_all_that_is_due_comes_out_at_the_end() -> None:
    assert dict(run(TestingSource(BATCHES), Counts(), None, [])) == EXPECTED


def test_the_operator_of_this_test_keeps_the_contract() -> None:
    check_changes_only_buckets_it_names(Counts, next(Counts.examples()))
    check_survives_a_crash_at_every_event(Counts, next(Counts.examples()))


def test_a_crash_at_any_batch_changes_nothing(tmp_path: Path) -> None:
    out: list[Any] = []
    for crash_before in range(len(BATCHES)):
        run(CrashingSource(crash_before), Counts(), tmp_path / "store", out)
    run(CrashingSource(-1), Counts(), tmp_path / "store", out)
    assert dict(out) == EXPECTED


def test_only_buckets_that_a_batch_touched_are_saved_again(tmp_path: Path) -> None:
    operator = Counts()
    run(TestingSource(BATCHES), operator, tmp_path / "store", [])
    touched = [bucket for batch in BATCHES for bucket in sorted(set(operator.touched(batch)))]
    assert set(operator.saved) == set(touched)
    # The engine wakes every key once more at the end of the input.
    assert len(operator.saved) <= len(touched) + len(set(touched))


def test_a_bucket_that_was_forgotten_is_given_up_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOONEST", timedelta(milliseconds=10))
    run(LingeringSource(-1), Forgetful(), tmp_path / "store", [])
    restarted = Forgetful()
    run(LingeringSource(-1), restarted, tmp_path / "store", [])
    kept = [bucket for bucket in Forgetful().touched(EVENTS) if bucket % 2]
    assert sorted(restarted.restored) == sorted(set(kept))


def test_after_a_quiet_time_it_is_due_at_once_and_then_at_intervals() -> None:
    pace = Pace(least=timedelta(milliseconds=40))
    assert pace.due
    pace.asked()
    assert not pace.due
    assert timedelta(0) < pace.due_at() - datetime.now(UTC) <= timedelta(milliseconds=40)
    time.sleep(0.05)
    assert pace.due


def test_time_spent_stretches_the_interval_to_its_share() -> None:
    pace = Pace(least=timedelta(0), share=0.2)
    pace.asked()
    pace.spent(0.5)
    assert timedelta(seconds=1.9) < pace.due_at() - datetime.now(UTC) <= timedelta(seconds=2)


def test_an_interval_is_never_longer_than_the_most() -> None:
    pace = Pace(least=timedelta(0), share=0.1, most=timedelta(seconds=1))
    pace.spent(60)
    assert pace.due_at() - datetime.now(UTC) <= timedelta(seconds=1)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a number in"):
        Pace(least=timedelta(0), share=0)
