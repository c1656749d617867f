from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.partition import shards_of
from schemas.settings import Settings


@given(partitions=st.integers(0, 512), workers=st.integers(1, 64))
def test_every_partition_is_owned_by_one_worker_and_ranges_are_balanced(partitions: int, workers: int) -> None:
    ranges = [shards_of(partitions, worker, workers) for worker in range(workers)]
    assert list(chain.from_iterable(ranges)) == list(range(partitions))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@given(partitions=st.integers(0, 512), workers=st.integers(1, 32))
def test_twice_as_many_workers_split_the_ranges_of_before(partitions: int, workers: int) -> None:
    for worker in range(workers):
        halves = chain(shards_of(partitions, 2 * worker, 2 * workers), shards_of(partitions, 2 * worker + 1, 2 * workers))
        assert list(halves) == list(shards_of(partitions, worker, workers))


@pytest.mark.parametrize(("partitions", "worker", "workers"), [(4, 2, 2), (4, -1, 2), (4, 0, 0), (-1, 0, 1)])
def test_a_worker_that_does_not_exist_is_refused(partitions: int, worker: int, workers: int) -> None:
    with pytest.raises(ValueError, match="expected .*, got "):
        shards_of(partitions, worker, workers)


def test_the_settings_refuse_a_worker_beyond_the_last_one() -> None:
    settings = Settings(worker=1, workers=2)
    assert (settings.worker, settings.workers) == (1, 2)
    with pytest.raises(ValidationError, match=r"expected more than 2, the number of the worker .*, got 2"):
        Settings(worker=2, workers=2)
    with pytest.raises(ValidationError):
        Settings(workers=0)
