"""The partition router: a person's own partition, unless it stands still while others answer."""

from __future__ import annotations

from schemas.partition import partition_for
from serving.routing import PartitionRouter


def _home(user_id: str) -> int:
    return partition_for(user_id.encode(), 8)


def test_a_person_keeps_one_partition_while_all_is_well() -> None:
    router = PartitionRouter(partitions=8, hedge_after=0.06)
    assert {router.choose("42", now) for now in (0.0, 1.0, 2.0)} == {_home("42")}


def test_a_partition_that_owes_while_others_answer_is_avoided_until_it_answers() -> None:
    router = PartitionRouter(partitions=8, hedge_after=0.06)
    home = _home("42")
    other = (home + 3) % 8
    router.sent(home, "r-1", 0.0)
    router.sent(other, "r-2", 0.01)
    router.answered(other, "r-2", 0.02)
    assert router.choose("42", 0.05) == home
    assert router.choose("42", 0.07) == other
    router.answered(home, "r-1", 0.08)
    assert router.choose("42", 0.09) == home


def test_a_partition_is_not_suspect_when_nobody_answers() -> None:
    router = PartitionRouter(partitions=8, hedge_after=0.06)
    router.sent(_home("42"), "r-1", 0.0)
    assert router.choose("42", 5.0) == _home("42")


def test_an_expired_debt_is_forgotten() -> None:
    router = PartitionRouter(partitions=8, hedge_after=0.06)
    home = _home("42")
    router.sent(home, "r-1", 0.0)
    router.answered((home + 1) % 8, "r-2", 0.05)
    router.forget(home, "r-1")
    assert router.choose("42", 1.0) == home


def test_a_hedge_goes_to_the_partition_that_answered_last() -> None:
    router = PartitionRouter(partitions=4, hedge_after=0.06)
    router.answered(2, "a", 1.0)
    router.answered(1, "b", 2.0)
    assert router.alternative(0) == 1
    assert router.alternative(1) == 2


def test_one_partition_alone_is_its_own_alternative() -> None:
    router = PartitionRouter(partitions=1, hedge_after=0.06)
    assert router.alternative(0) == 0
