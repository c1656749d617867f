"""Labels as several processes: killed, grown and shrunk in between, over the real broker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from dataflows.checkpoint import Checkpoints
from dataflows.label_shards import Checkpoint
from dataflows.objects import Objects
from operators.joins.pages import MemoryPages
from operators.joins.served_outcomes import ServedOutcomes
from schemas.partition import shards_of
from schemas.sharding import SHARDS
from tests.integration.learning.conftest import PartProcess, World
from tests.integration.learning.test_loop import expected_examples, expected_joins, wait_for_examples

pytestmark = pytest.mark.integration

COUNTED = ("pages", "joined", "examples", "repeats")


class Workers:
    """The processes of labels, as many as are asked for."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: list[PartProcess] = []

    def resize(self, workers: int, *, kill: bool = False) -> None:
        """End all, cleanly or not, and start another number."""
        self.end(kill=kill)
        self.running = [PartProcess(self.world.settings, "labels", worker=worker, workers=workers) for worker in range(workers)]
        for part in self.running:
            part.start()

    def end(self, *, kill: bool = False) -> None:
        for part in self.running:
            if kill:
                part.kill()
            else:
                assert part.stop() == 0
        self.running = []

    def restart(self, worker: int) -> None:
        """Kill one while the others go on, and start it again."""
        self.running[worker].kill()
        self.running[worker].start()


@pytest.fixture
def workers(world: World) -> Iterator[Workers]:
    made = Workers(world)
    yield made
    for part in made.running:
        part.kill()


def joined(world: World) -> dict[str, int]:
    """What the checkpoints of all shards have counted."""
    checkpoints = Checkpoints(Objects(str(world.settings.home / "recovery" / "labels")))
    counts: Counter[str] = Counter()
    for shard in range(SHARDS):
        saved = checkpoints.load(shard)
        if saved is not None:
            join = ServedOutcomes(secret=world.secret, pages=MemoryPages())
            join.restore(Checkpoint.of(shard, saved).state)
            counts += join.counts
    return {what: counts[what] for what in COUNTED}


def test_workers_killed_and_grown_from_one_to_two_to_four_and_back_join_everything_once(world: World, workers: Workers) -> None:
    workers.resize(1)
    living = world.live(30, per_second=25, repeat=0.2)
    time.sleep(4)
    workers.resize(2)
    time.sleep(3)
    workers.restart(1)
    time.sleep(3)
    workers.resize(4, kill=True)
    time.sleep(3)
    workers.restart(0)
    workers.restart(3)
    living.join()

    expected = expected_examples(world)
    assert wait_for_examples(world, len(expected)) == expected
    ranges = [part.partitions("telemetry.events") for part in workers.running]
    assert ranges == [list(shards_of(4, worker, 4)) for worker in range(4)]

    workers.resize(2)
    exact = {what: expected_joins(world)[what] for what in COUNTED}
    # What a killed worker had told already, the one after it joins again before its state says so.
    deadline = time.monotonic() + 30
    while joined(world) != exact and time.monotonic() < deadline:
        time.sleep(0.5)
    workers.end()
    assert joined(world) == exact
    assert wait_for_examples(world, len(expected)) == expected
