"""The step by shard, on the real engine: cut anywhere, grown in between, shared out, it tells what one process that never stopped does."""

from __future__ import annotations

import socket
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import AbortExecution
from confluent_kafka import Message

from dataflows import keeper as keeper_module
from dataflows.checkpoint import CheckpointError, Checkpoints, Taken
from dataflows.engine import run_to_end
from dataflows.keeper import Keeper
from dataflows.objects import Objects, Stored
from schemas.partition import shards_of
from tests.dataflows.shard_world import SHARDS, Acknowledging, Recorded, Told, checkpoints, expected, flow_of, recording

MESSAGES = recording(seed=1, n=120)


def run(
    folder: Path,
    topic: list[Told],
    *,
    messages: Sequence[Message] = MESSAGES,
    worker: int = 0,
    workers: int = 1,
    source_dies: int = -1,
    sink_dies: int = -1,
) -> None:
    """Run a process to its end, or to its death: what it held in memory is gone then."""
    keeper = Keeper(checkpoints(folder), shards_of(SHARDS, worker, workers), every=1e-9)
    source = Recorded(messages, keeper.start(), keeper.shards, dies_after=source_dies)
    sink = Acknowledging(topic.extend, dies_after=sink_dies)
    try:
        run_to_end(flow_of(source, sink, keeper), epoch=timedelta(0), store=None)
    except (AbortExecution, BytewaxRuntimeError):
        # A killed process writes no more; here its thread would, beside the next process.
        for written in keeper._written.values():
            assert written.exception(60) is None
    else:
        keeper.finish()


def newest(topic: Iterable[Told]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in topic:
        found[name] = max(count, found.get(name, 0))
    return found


def rows(folder: Path) -> dict[str, int]:
    saved = [checkpoints(folder).load(shard) for shard in range(SHARDS)]
    return {name: int(row) for one in saved if one is not None for name, row in one.rows}


def test_each_shard_counts_what_is_in_its_partitions_and_keeps_it_where_the_next_process_finds_it(tmp_path: Path) -> None:
    topic: list[Told] = []
    run(tmp_path, topic, messages=MESSAGES[:50])
    run(tmp_path, topic)
    assert newest(topic) == rows(tmp_path) == expected(MESSAGES)
    again: list[Told] = []
    run(tmp_path, again)
    assert again == []


@pytest.mark.parametrize("every", [1, 2, 5, 13])
def test_killed_again_and_again_it_loses_no_output_and_counts_nothing_twice(tmp_path: Path, every: int) -> None:
    topic: list[Told] = []
    for n in range(40):
        run(tmp_path, topic, source_dies=every + n % 3)
    run(tmp_path, topic)
    assert newest(topic) == rows(tmp_path) == expected(MESSAGES)
    assert all(count <= expected(MESSAGES)[name] for name, count in topic)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_killed_when_state_is_taken_and_its_output_is_not_acknowledged_that_output_comes_again(tmp_path: Path, after: int) -> None:
    topic: list[Told] = []
    messages = recording(seed=2, n=60, names=100_000)
    for _ in range(4):
        run(tmp_path, topic, messages=messages, sink_dies=after)
    run(tmp_path, topic, messages=messages)
    assert newest(topic) == rows(tmp_path) == expected(messages)


def test_with_other_numbers_of_processes_killed_in_between_the_result_is_the_same(tmp_path: Path) -> None:
    topic: list[Told] = []
    for workers in (1, 2, 4, 3):
        for worker in range(workers):
            run(tmp_path, topic, worker=worker, workers=workers, source_dies=5)
    for worker in range(4):
        run(tmp_path, topic, worker=worker, workers=4)
    assert newest(topic) == rows(tmp_path) == expected(MESSAGES)


def test_on_a_cluster_of_three_processes_the_result_is_the_same(tmp_path: Path) -> None:
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in free]
    for one in free:
        one.close()
    command = [sys.executable, "-m", "tests.dataflows.shard_world", str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(process), *addresses], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for process in range(3)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    lines = [line.split() for path in tmp_path.glob("out-*") for line in path.read_text(encoding="ascii").splitlines()]
    assert newest((name, int(count)) for name, count in lines) == rows(tmp_path) == expected(recording(seed=3, n=600))
    kept = [literal_eval(out.splitlines()[-1]) for out, _ in said]
    assert sorted(shard for one in kept for shard in one) == list(range(SHARDS))
    assert len([one for one in kept if one]) > 1


class Away(Objects):
    """Storage that is away for the first calls."""

    calls = 3

    def put(self, name: str, chunks: Iterable[bytes]) -> Stored:
        self.calls -= 1
        if self.calls >= 0:
            text = "no route to host"
            raise OSError(text)
        return super().put(name, chunks)


def test_storage_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "FIRST_WAIT_S", 0.001)
    keeper = Keeper(Checkpoints(Away(str(tmp_path))), [0], every=1e-9)
    keeper.take(0, Taken({("events", 0): 7}, b"head", {"a": b"1"}))
    assert not keeper.is_due(0)
    keeper.confirm(0)
    keeper.finish()
    assert Keeper(checkpoints(tmp_path), [0]).start() == {("events", 0): 7}


def test_nobody_waits_to_hand_over_a_whole_checkpoint_and_the_newest_is_written(tmp_path: Path) -> None:
    class Gone(Objects):
        back = Event()

        def put(self, name: str, chunks: Iterable[bytes]) -> Stored:
            assert self.back.wait(60)
            return super().put(name, chunks)

    objects = Gone(str(tmp_path))
    keeper = Keeper(Checkpoints(objects), [0])
    for offset in (7, 8, 9):
        keeper.write(0, Taken({("events", 0): offset}, b"%d" % offset, {}, is_whole=True))
    assert list(tmp_path.rglob("*.manifest")) == []
    objects.back.set()
    keeper.finish()
    saved = checkpoints(tmp_path).load(0)
    assert saved is not None
    assert (saved.offsets, saved.head) == ({("events", 0): 9}, b"9")


def test_what_was_taken_is_not_written_before_its_output_is_acknowledged(tmp_path: Path) -> None:
    keeper = Keeper(checkpoints(tmp_path), [0, 1], every=1e-9)
    keeper.take(0, Taken({("events", 0): 7}, b"", {}))
    keeper.take(1, Taken({("events", 1): 8}, b"", {}))
    keeper.confirm(1)
    keeper.take(1, Taken({("events", 1): 9}, b"", {}))
    assert Keeper(checkpoints(tmp_path), [0, 1]).start() == {("events", 1): 8}
    keeper.finish()
    assert Keeper(checkpoints(tmp_path), [0, 1]).start() == {("events", 0): 7, ("events", 1): 9}


def test_shards_are_taken_at_even_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("dataflows.keeper.time.monotonic", lambda: now[0])
    keeper = Keeper(checkpoints(tmp_path), range(4), every=8.0)
    taken: list[tuple[float, int]] = []
    for tick in range(20):
        now[0] = 100.5 + tick
        for shard in range(4):
            if keeper.is_due(shard):
                taken.append((now[0] - 100, shard))
                keeper.take(shard, Taken({}, b"", {}))
                keeper._taken.clear()
    assert taken == [(2.5 + 2 * n, n % 4) for n in range(9)]


def test_damage_that_a_write_comes_upon_ends_the_flow(tmp_path: Path) -> None:
    keeper = Keeper(checkpoints(tmp_path), [0], every=1e-9)
    for number in range(3):
        keeper.take(0, Taken({}, b"", {"a": b"%d" % number}))
        keeper.confirm(0)
    keeper.finish()
    for path in (tmp_path / "0").glob("*.rows"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="expected .* bytes with SHA-256"):
        for _ in range(3):
            keeper.take(0, Taken({}, b"", {"b": b"1"}))
            keeper.confirm(0)
            keeper.finish()
