"""Claims a Redis database for one system, by a key in it, and refuses to start a second one on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError

from schemas.codec import DecodeError, decode, encode
from schemas.keys import SYSTEM_OWNER
from schemas.settings import Settings
from schemas.system import SystemRecord
from serving.errors import ServiceError
from serving.local.home import Home
from serving.owner import Owner, is_other, known_id, own_record, refuse
from serving.reach import redis_client, without_password

_ANSWER_WITHIN_S = 1.0
_LOADED_WITHIN_S = 120.0
_LOADING_PAUSE_S = 0.1
_UNKNOWN = (RedisError, DecodeError, ValueError)
"""Redis does not say whose the rows are, or somebody wrote something else into the key."""

_log = structlog.get_logger("penstock.supervisor")

# KEYS: the mark.  ARGV: who asks ('' only looks), its record, whose mark may be replaced ('*' anybody's).
# Returns the server's clock in ms, and of the mark before: whose, record, when it was written.
_CLAIM = """
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local ours = redis.call('TYPE', KEYS[1]).ok == 'hash'
local found = ours and redis.call('HMGET', KEYS[1], 'owner', 'record', 'stamped_ms') or {}
local owner = found[1]
if ARGV[1] ~= '' and (not owner or owner == ARGV[1] or owner == ARGV[3] or ARGV[3] == '*') then
  if not ours then redis.call('DEL', KEYS[1]) end
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'record', ARGV[2], 'stamped_ms', now)
end
return {now, owner or '', found[2] or '', found[3] or '0'}
"""


class Mark(NamedTuple):
    """What stood in the key: whose (system id and topic prefix), the owner as it was told (None: nobody's), and the server's clock then."""

    identity: str
    owner: Owner | None
    now_ms: int


def refuse_second_store(settings: Settings, home: Home, *, take_over: bool) -> None:
    """Refuse to start where the rows of people in the database are another system's, or this one's under another prefix.

    Raises
    ------
    ConfigError
        If they are another's, and it runs, or they are not to be taken over.
    ServiceError
        If Redis does not answer, or does not let us look.
    """
    with redis_client(settings, patient=False) as client:
        _checked(settings, home, _ask(settings, lambda: _look(client)), take_over=take_over)


def claim_store(settings: Settings, home: Home, *, take_over: bool, whose_ever: bool) -> None:
    """Make the database ours from now on.

    Parameters
    ----------
    settings, home : Settings, Home
        Where the database is, and whose system it is.
    take_over : bool
        Take it from a system that is gone for good.
    whose_ever : bool
        Take it without asking: it is that of our own local Redis.

    Raises
    ------
    ConfigError, ServiceError
        As `refuse_second_store`.
    """
    record = own_record(home, up_since_ms=time.time_ns() // 1_000_000)
    with redis_client(settings, patient=False) as client:
        before = "*" if whose_ever else ""
        mark = _ask(settings, lambda: _claim(client, settings, record, before))
        if not whose_ever and _is_others(mark, settings, home):
            _checked(settings, home, mark, take_over=take_over)
            _ask(settings, lambda: _claim(client, settings, record, mark.identity))


class StoreHeart:
    """Says in the database, at each beat, that the system runs.

    Parameters
    ----------
    settings, home : Settings, Home
        Where the database is, and whose system it is.
    """

    def __init__(self, settings: Settings, home: Home) -> None:
        self._settings = settings
        self._home = home
        self._client: Redis = redis_client(settings, patient=False, within_s=_ANSWER_WITHIN_S)

    def beat(self, record: SystemRecord) -> str:
        """Write the mark anew, and return why it is not ours any more, empty where it is or where Redis does not answer."""
        try:
            mark = _claim(self._client, self._settings, record, "")
            owner = mark.owner
            if owner is None or not _is_others(mark, self._settings, self._home):
                return ""
            if owner.runs(mark.now_ms):
                return f"expected rows of people that are ours, got {owner.described(mark.now_ms)}, at {_where(self._settings)}"
            _claim(self._client, self._settings, record, mark.identity)
        except _UNKNOWN as error:
            _log.warning("could not say in Redis that this system runs", error=str(error))
        return ""


def _checked(settings: Settings, home: Home, mark: Mark, *, take_over: bool) -> None:
    if mark.owner is not None and _is_others(mark, settings, home):
        refuse(
            mark.owner,
            mark.now_ms,
            take_over=take_over,
            expected="rows of people that are nobody else's",
            where=_where(settings),
            another="with another database number in --redis-url",
        )


def _is_others(mark: Mark, settings: Settings, home: Home) -> bool:
    if mark.owner is None:
        return False
    return mark.identity != _identity(known_id(home), settings) or is_other(mark.owner, home, mark.now_ms)


def _look(client: Redis) -> Mark:
    return _run(client, "", b"", "")


def _claim(client: Redis, settings: Settings, record: SystemRecord, replaced: str) -> Mark:
    return _run(client, _identity(record.system_id, settings), encode(record), replaced)


def _run(client: Redis, identity: str, record: bytes, replaced: str) -> Mark:
    call: Callable[..., Any] = client.execute_command
    now, owner, told, stamped = call("EVAL", _CLAIM, 1, SYSTEM_OWNER, identity, record, replaced)
    found = Owner(decode(SystemRecord, told), int(stamped)) if owner else None
    return Mark(str(owner, "utf-8"), found, int(now))


def _ask(settings: Settings, ask: Callable[[], Mark]) -> Mark:
    try:
        return _when_loaded(ask)
    except _UNKNOWN as error:
        raise ServiceError(
            expected="whose the rows of people are",
            got=str(error),
            where=_where(settings),
            do="give the user of Redis the rights that docs/operate.md lists",
        ) from None


def _when_loaded(ask: Callable[[], Mark]) -> Mark:
    """Ask again while Redis reads its data, as it does after each start."""
    deadline = time.monotonic() + _LOADED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            return ask()
        except BusyLoadingError:
            time.sleep(_LOADING_PAUSE_S)
    return ask()


def _identity(system: str, settings: Settings) -> str:
    return f"{system} {settings.topic_prefix}"


def _where(settings: Settings) -> str:
    return f"{SYSTEM_OWNER} in {without_password(settings.redis_url)}"
