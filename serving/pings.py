"""Asks a local broker and a local store whether they answer within a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from schemas.settings import Settings
from serving.reach import BrokerProbe, redis_client

WITHIN_S = 1.0


class PingResult(NamedTuple):
    """Why a service is not ready, empty where it is; `silent` where nothing came from it at all."""

    failure: str = ""
    silent: bool = False


Ping = Callable[[], PingResult]


def redis_ping(settings: Settings) -> Ping:
    """Return what asks the store: one that is loading, busy with a script, or refuses the password answers and is not ready."""
    client = redis_client(settings, patient=False, within_s=WITHIN_S)

    def ping() -> PingResult:
        try:
            client.ping()
        except (AuthenticationError, BusyLoadingError, ResponseError) as error:
            return PingResult(str(error))
        except RedisError as error:
            return PingResult(str(error), silent=True)
        return PingResult()

    return ping


def broker_ping(settings: Settings) -> Ping:
    """Return what asks the broker, over one connection: its port is open also when it hangs."""
    probe = BrokerProbe(settings, within_s=WITHIN_S, looks=1)

    def ping() -> PingResult:
        failure = probe.failure()
        return PingResult(failure, silent=bool(failure))

    return ping
