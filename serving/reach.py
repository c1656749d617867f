"""Asks a broker and a store whether they are there, and says within seconds why they are not."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from schemas.settings import Settings
from serving.errors import ConfigError, ServiceError

BROKER_WITHIN_S = 4.0
_LOOKS = 4
_CONNECT_AGAIN_MS = 500
_REDIS_WITHIN_S = 3.0


class BrokerProbe:
    """Asks a broker again and again over one connection.

    Parameters
    ----------
    settings : Settings
        Where the broker is.
    within_s : float
        Silence for so long is a failure.
    looks : int
        Into how many looks that time is divided.
    """

    def __init__(self, settings: Settings, *, within_s: float = BROKER_WITHIN_S, looks: int = _LOOKS) -> None:
        self.within_s = within_s
        self.looks = looks
        self._why = ""
        own: dict[str, Any] = {"log_level": 0, "error_cb": self._hear, "reconnect.backoff.max.ms": _CONNECT_AGAIN_MS}
        self._admin = AdminClient({**settings.kafka(), **own})

    def _hear(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._why = error.str()

    def failure(self) -> str:
        """Return why the broker does not answer, empty when it does; a refused connection is told at once."""
        self._why = said = ""
        for _ in range(self.looks):
            try:
                self._admin.list_topics(timeout=self.within_s / self.looks)
            except KafkaException as error:
                self._admin.poll(0)  # lets the library tell of the connection itself
                said = self._why or str(error.args[0].str())
                if self._why:
                    break
            else:
                return ""
        return said


def redis_client(settings: Settings, *, patient: bool = True, within_s: float = 10.0) -> Redis:
    """Return a client of the store for commands; one that is not patient tries once, and each answer must come `within_s`.

    Raises
    ------
    ConfigError
        If the address is no URL of a Redis.
    """
    password = settings.redis_password
    once: dict[str, Any] = {} if patient else {"retry": Retry(NoBackoff(), 0)}
    try:
        return Redis.from_url(
            settings.redis_url,
            username=settings.redis_username,
            password=None if password is None else password.get_secret_value(),
            socket_timeout=within_s,
            socket_connect_timeout=min(within_s, _REDIS_WITHIN_S),
            **once,
        )
    except ValueError:
        got = without_password(settings.redis_url)
        raise ConfigError(expected="a URL such as redis://127.0.0.1:6379/0", got=got, where="PENSTOCK_REDIS_URL", do="correct it") from None


def redis_failure(client: Redis) -> str:
    """Return why a store does not answer, empty when it does."""
    try:
        client.ping()
    except RedisError as error:
        return str(error)
    return ""


def require_broker(settings: Settings, *, do: str) -> None:
    """Ask the broker once.

    Raises
    ------
    ServiceError
        If it does not answer within 4 seconds; the address is named, and `do` is the next step.
    """
    failure = BrokerProbe(settings).failure()
    if failure:
        raise ServiceError(expected="an answer from Kafka", got=failure, where=settings.bootstrap_servers, do=do)


def require_redis(settings: Settings, *, do: str) -> None:
    """Ask the store once.

    Raises
    ------
    ServiceError
        If it does not answer within seconds; the address is named, and `do` is the next step.
    ConfigError
        If the address is no URL of a Redis.
    """
    with redis_client(settings, patient=False) as client:
        failure = redis_failure(client)
    if failure:
        raise ServiceError(expected="an answer from Redis", got=failure, where=without_password(settings.redis_url), do=do)


def without_password(url: str) -> str:
    """Return an address without what stands before its host.

    Examples
    --------
    >>> without_password("rediss://me:secret@redis.example:6380/0"), without_password("redis://127.0.0.1:6379/0")
    ('rediss://redis.example:6380/0', 'redis://127.0.0.1:6379/0')
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    return scheme + separator + rest.rpartition("@")[2]
