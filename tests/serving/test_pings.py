"""Which errors of a local Redis are an answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from redis import exceptions

from schemas.settings import Settings
from serving import pings
from serving.pings import redis_ping


@pytest.mark.parametrize(
    ("error", "silent"),
    [
        (exceptions.AuthenticationError("no password is set"), False),
        (exceptions.BusyLoadingError("loading"), False),
        (exceptions.ResponseError("busy with a script"), False),
        (exceptions.ConnectionError("refused"), True),
        (exceptions.TimeoutError("timed out"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_redis_from_which_nothing_comes_is_silent(
    error: exceptions.RedisError, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(pings, "redis_client", lambda *_, **__: SimpleNamespace(ping=refuse))
    assert redis_ping(Settings())() == (str(error), silent)
