"""Label shards over crashes and over other numbers of workers: cut anywhere, the examples are those of one that never stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache

import msgspec
import pytest
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Message

from dataflows import label_shards
from dataflows.barrier import Barrier, Item
from dataflows.engine import run_to_end
from dataflows.kafka import Batch
from dataflows.label_shards import Checkpoint, Inputs, Owned
from dataflows.labels import build
from dataflows.progress import Progress
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from schemas.codec import decode
from schemas.learning import LabelledExample
from schemas.sharding import SHARDS
from tests.dataflows.recordings import read_input
from tests.dataflows.test_labels_golden import EVENTS, FOLDER, PARTITIONS, SECRET, SERVED, T

SIZE = 23


class Disk:
    """What outlives a process: checkpoints and pages."""

    def __init__(self) -> None:
        self.saved: dict[int, Checkpoint] = {}
        self.pages: dict[int, MemoryPages] = {}

    def save(self, checkpoint: Checkpoint) -> None:
        self.saved[checkpoint.shard] = checkpoint

    def join(self, shard: int) -> ServedOutcomes:
        return ServedOutcomes(secret=SECRET, pages=self.pages.setdefault(shard, MemoryPages()))


@cache
def messages() -> tuple[Message, ...]:
    return tuple(one.message() for one in read_input(FOLDER))


def run(disk: Disk, saved: Mapping[int, Checkpoint], *, worker: int = 0, workers: int = 1) -> list[Item]:
    """Run a worker from checkpoints to the end of its partitions; return what it wrote, barriers among it."""
    owned = Owned({SERVED: PARTITIONS, EVENTS: PARTITIONS}, worker=worker, workers=workers)
    mine = {shard: checkpoint for shard, checkpoint in saved.items() if shard in owned.shards}
    inputs = Inputs(
        served=SERVED,
        events=EVENTS,
        owned=owned,
        progress=Progress(now=lambda: T / 1_000),
        count=lambda _what, _number: None,
        saved=mine,
    )
    start = inputs.start()
    left = [
        one
        for one in messages()
        if one.partition() in owned.partitions[str(one.topic())]
        and int(one.offset() or 0) >= start.get((str(one.topic()), int(one.partition() or 0)), 0)
    ]
    out: list[Item] = []
    source = TestingSource([Batch(left[at : at + SIZE]) for at in range(0, len(left), SIZE)])
    flow = build(source, TestingSink(out), inputs=inputs, make=disk.join, topic="examples", save=disk.save)
    run_to_end(flow, epoch=timedelta(seconds=10), store=None)
    return out


def acknowledged(items: Iterable[Item]) -> dict[str, LabelledExample]:
    """Examples by id; at each barrier the checkpoint is taken. An example that comes again says the same."""
    found: dict[str, LabelledExample] = {}
    for item in items:
        if isinstance(item, Barrier):
            item.then()
        else:
            one = decode(LabelledExample, item.value or b"")
            assert found.setdefault(one.example_id, one) == one
    return found


def joined(disk: Disk) -> Counter[str]:
    """What all shards have counted."""
    counts: Counter[str] = Counter()
    for shard, checkpoint in disk.saved.items():
        join = disk.join(shard)
        join.restore(checkpoint.state)
        counts += join.counts
    return counts


@pytest.fixture(autouse=True)
def _always_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_shards, "EVERY", timedelta(0))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_however_many_workers_the_examples_and_the_counts_are_those_of_one(workers: int) -> None:
    alone, disk = Disk(), Disk()
    expected = acknowledged(run(alone, {}))
    assert len(expected) > 50
    found: dict[str, LabelledExample] = {}
    for worker in range(workers):
        some = acknowledged(run(disk, {}, worker=worker, workers=workers))
        assert not found.keys() & some.keys()
        found |= some
    assert found == expected
    assert joined(disk) == joined(alone)
    assert disk.saved.keys() == set(range(SHARDS))


@pytest.mark.parametrize("after", [1, 2, 4])
def test_cut_anywhere_and_gone_on_with_by_another_number_of_workers_nothing_is_lost_or_changed(after: int) -> None:
    alone = Disk()
    everything = run(alone, {})
    expected = acknowledged(everything)
    counts = joined(alone)
    for cut in range(0, len(everything), max(1, len(everything) // 25)):
        disk = Disk()
        disk.pages = alone.pages
        first = everything[:cut]
        saved = {one.shard: one for one in map(_checkpoint_of, first) if one is not None}
        found = acknowledged(item for item in first if not isinstance(item, Barrier))
        disk.saved = dict(saved)
        for worker in range(after):
            for example_id, one in acknowledged(run(disk, saved, worker=worker, workers=after)).items():
                assert found.setdefault(example_id, one) == one
        assert found == expected, cut
        assert joined(disk) == counts, cut


def _checkpoint_of(item: Item) -> Checkpoint | None:
    taken: list[Checkpoint] = []
    if isinstance(item, Barrier):
        taken += getattr(item.then, "args", ())
    return msgspec.structs.replace(taken[0]) if taken else None


@pytest.mark.parametrize(
    ("partitions", "workers", "cells"),
    [
        ({"a": 4, "b": 4}, 4, 4),
        ({"a": 16, "b": 16}, 16, 16),
        ({"a": 4, "b": 16}, 4, 4),
        ({"a": 32, "b": 32}, 3, 16),
        ({"a": 6, "b": 4}, 2, 2),
    ],
)
def test_every_shard_and_every_partition_has_one_owner_who_has_all_that_the_shard_reads(
    partitions: dict[str, int], workers: int, cells: int
) -> None:
    everyone = [Owned(partitions, worker=worker, workers=workers) for worker in range(workers)]
    assert sorted(shard for one in everyone for shard in one.shards) == list(range(SHARDS))
    for topic, n in partitions.items():
        assert sorted(partition for one in everyone for partition in one.partitions[topic]) == list(range(n))
        for one in everyone:
            assert all(set(one.partitions_of(topic, shard)) <= set(one.partitions[topic]) for shard in one.shards)
    with pytest.raises(ValueError, match=f"expected at most {cells} workers for .*, got {cells + 1}, at PENSTOCK_WORKERS"):
        Owned(partitions, workers=cells + 1)
