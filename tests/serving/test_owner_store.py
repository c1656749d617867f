"""Whose the rows of people are, where the key of the owner holds what none of ours wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pytest
from redis.exceptions import BusyLoadingError

from schemas.codec import encode
from schemas.settings import Settings
from serving import owner_store
from serving.errors import ServiceError
from serving.local import Home
from serving.owner import own_record
from serving.owner_store import StoreHeart, refuse_second_store


class Told:
    """A client of a Redis whose key of the owner holds something."""

    def __init__(self, owner: bytes, record: bytes, stamped: bytes) -> None:
        self.answer = [b"1700000000000", owner, record, stamped]

    def execute_command(self, *_words: object) -> list[bytes]:
        return self.answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("wrong", ["owner", "record", "stamped"])
def test_a_key_that_says_nothing_of_an_owner_stops_no_heart_and_lets_nobody_start(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home").create()
    record = own_record(home, up_since_ms=0)
    told = Told(**{"owner": b"somebody", "record": encode(record), "stamped": b"0", wrong: b"\xff"})
    monkeypatch.setattr(owner_store, "redis_client", lambda *_, **__: told)
    assert StoreHeart(Settings(), home).beat(record) == ""
    with pytest.raises(ServiceError, match="expected whose the rows of people are"):
        refuse_second_store(Settings(), home, take_over=True)


def test_a_redis_that_still_loads_its_data_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home").create()
    busy = [BusyLoadingError("Redis is loading the dataset in memory")] * 3

    class Loading(Told):
        def execute_command(self, *words: object) -> list[bytes]:
            if busy:
                raise busy.pop()
            return super().execute_command(*words)

    monkeypatch.setattr(owner_store, "redis_client", lambda *_, **__: Loading(b"", b"", b"0"))
    refuse_second_store(Settings(), home, take_over=False)
    assert busy == []
