"""The user store in Redis: rows written by the features part, read by the feed; served pages appended by the feed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from operators.profiles.update import UserUpdate
from operators.query import SESSION_MS
from schemas import keys
from schemas.codec import DecodeError, pack, unpack
from schemas.errors import ServiceError
from schemas.features import ServedPage
from schemas.feed import ReadState
from schemas.settings import Settings

USERS_A_CALL = 64

_pack = msgspec.msgpack.Encoder().encode

# A key of another type than ours is nobody's: the scripts put what they write in its place.
# KEYS: state, hash, state, hash, ...  ARGV: lifetime, then per user: row, fields and values of the hash in one msgpack array.
WRITE_ROWS = """
for k = 1, #KEYS, 2 do
  local row = ARGV[k + 1]
  local old = redis.pcall('GETRANGE', KEYS[k], 0, 7)
  if type(old) ~= 'string' then old = '' end
  if #old < 8 or struct.unpack('>I8', old) < struct.unpack('>I8', row) then
    redis.call('SET', KEYS[k], row, 'EX', ARGV[1])
    redis.call('DEL', KEYS[k + 1])
    redis.call('HSET', KEYS[k + 1], unpack(cmsgpack.unpack(ARGV[k + 2])))
    redis.call('EXPIRE', KEYS[k + 1], ARGV[1])
  end
end
return redis.status_reply('OK')
"""

# KEYS: bitmaps.  ARGV: lifetime, then per bitmap the bits to set, 16-bit big-endian.
SET_BITS = """
for k = 1, #KEYS do
  local bits = ARGV[k + 1]
  if redis.call('TYPE', KEYS[k]).ok ~= 'string' then redis.call('DEL', KEYS[k]) end
  for at = 1, #bits, 2 do
    local high, low = string.byte(bits, at, at + 1)
    redis.call('SETBIT', KEYS[k], high * 256 + low, 1)
  end
  redis.call('EXPIRE', KEYS[k], ARGV[1])
end
return redis.status_reply('OK')
"""

# KEYS: list.  ARGV: newest page when it was read ('' for none), page, lifetime, pages kept.
APPEND_PAGE = """
if redis.call('TYPE', KEYS[1]).ok ~= 'list' then redis.call('DEL', KEYS[1]) end
local newest = redis.call('LINDEX', KEYS[1], -1)
if (newest or '') ~= ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('LTRIM', KEYS[1], -ARGV[4], -1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class StoreError(ServiceError):
    """Redis did not answer, or refused."""


class PageAppend(NamedTuple):
    """A page to append if the list still stands as it was read (`ReadState.pages`)."""

    user_id: str
    page: ServedPage
    expected: Sequence[bytes]


def connect(settings: Settings, *, timeout_s: float) -> Redis:
    """Return a client with one connection of its own, made at the first use; nothing is retried inside.

    Parameters
    ----------
    timeout_s
        Longest wait for a connection or an answer.
    """
    password = settings.redis_password
    own: dict[str, Any] = {} if settings.redis_username is None else {"username": settings.redis_username}
    if password is not None:
        own["password"] = password.get_secret_value()
    client: Redis = Redis.from_url(
        settings.redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        client_name=f"penstock-{settings.part}",
        protocol=2,
        max_connections=1,
        **own,
    )
    return client


class UserStore:
    """The rows of people, their seen filters and the pages served to them.

    Not for use by several threads at once.

    Parameters
    ----------
    client
        From :func:`connect`.
    rest_s
        After a failed read, for how long reads answer "not available" without asking, in seconds; 0 asks each time.
    """

    def __init__(self, client: Redis, *, rest_s: float = 0.25) -> None:
        self.client = client
        self.rest_s = rest_s
        self._rests_until = 0.0

    def read(self, user_ids: Sequence[str], now_ms: Sequence[int]) -> list[ReadState]:
        """Read what a request needs of each person, in one round trip; the bytes as they stand, but for the version before a row.

        Parameters
        ----------
        user_ids, now_ms
            Per request the person, and its "now", which decides the generations of the seen filter.

        Returns
        -------
        list of ReadState
            In the order of `user_ids`; `available` is False in all of them when Redis did not answer. A key that holds another type than
            ours counts as missing, for its person alone.
        """
        if time.monotonic() < self._rests_until:
            return [ReadState(available=False) for _ in user_ids]
        generations = [keys.seen_generations(now) for now in now_ms]
        pipeline = self.client.pipeline(transaction=False)
        for user_id, wanted in zip(user_ids, generations, strict=True):
            pipeline.mget([keys.user_state(user_id), *(keys.user_seen(user_id, one) for one in wanted)])
            pipeline.lrange(keys.user_served(user_id), 0, -1)
        try:
            answers = iter(pipeline.execute(raise_on_error=False))
        except (RedisError, OSError):
            self._rests_until = time.monotonic() + self.rest_s
            return [ReadState(available=False) for _ in user_ids]
        return [_read_state(wanted, next(answers), next(answers)) for wanted in generations]

    def append_pages(self, appends: Sequence[PageAppend]) -> list[bool]:
        """Append pages, each only if no other page was appended since it was read; one round trip.

        A page that is already in the list, of the same request with the same videos, counts as appended, so that a repeated or hedged
        request changes nothing. The same request with other videos is appended beside it: either may be what the person saw.

        Returns
        -------
        list of bool
            False: somebody else appended in between; read again and answer again.

        Raises
        ------
        StoreError
            If Redis does not answer; the page may or may not be there.
        """
        done = [_holds(one.expected, one.page) for one in appends]
        pipeline = self.client.pipeline(transaction=False)
        for one, there in zip(appends, done, strict=True):
            if not there:
                newest = one.expected[-1] if one.expected else b""
                arguments = [newest, pack(one.page), keys.SERVED_TTL_S, _kept(one)]
                _call(pipeline, "EVAL", APPEND_PAGE, 1, keys.user_served(one.user_id), *arguments)
        try:
            answers = iter(pipeline.execute())
        except (RedisError, OSError) as error:
            raise _failed(error, "append of pages") from error
        return [there or next(answers) == 1 for there in done]

    def append_page(self, user_id: str, page: ServedPage, expected: Sequence[bytes]) -> bool:
        """Append one page if the list still stands as it was read; see :meth:`append_pages`."""
        return self.append_pages([PageAppend(user_id, page, expected)])[0]

    def write(self, updates: Sequence[UserUpdate]) -> None:
        """Write rows and set seen bits, in one round trip; both may be repeated, and an older row never replaces a newer one.

        Raises
        ------
        StoreError
            If Redis does not answer or refuses; some of it may be written.
        """
        pipeline = self.client.pipeline(transaction=False)
        rest = iter(updates)
        while some := list(islice(rest, USERS_A_CALL)):
            names = [name for one in some for name in (keys.user_state(one.user_id), keys.user_feat(one.user_id))]
            arguments: list[Any] = [keys.STATE_TTL_S]
            for one in some:
                fields = [string for pair in one.readable.items() for string in pair]
                arguments += [one.version.to_bytes(keys.VERSION_BYTES, "big") + one.state, _pack(fields)]
            _call(pipeline, "EVAL", WRITE_ROWS, len(names), *names, *arguments)
            seen: dict[str, bytes] = {}
            for one in some:
                for generation, bits in one.seen.items():
                    # A person may stand in several updates, each with bits of its own.
                    key = keys.user_seen(one.user_id, generation)
                    seen[key] = seen.get(key, b"") + bits
            if seen:
                _call(pipeline, "EVAL", SET_BITS, len(seen), *seen, keys.SEEN_TTL_S, *seen.values())
        try:
            pipeline.execute()
        except (RedisError, OSError) as error:
            raise _failed(error, "write of rows") from error

    def run_id(self) -> str:
        """Return which process of Redis answers, empty where it does not tell.

        Raises
        ------
        StoreError
            If Redis does not answer.
        """
        try:
            return str(self.client.info("server").get("run_id", ""))
        except ResponseError:
            return ""
        except (RedisError, OSError) as error:
            raise _failed(error, "question which process it is") from error

    def close(self) -> None:
        """Leave the server."""
        self.client.close()


def _read_state(generations: list[int], values: list[bytes | None] | Exception, pages: list[bytes] | Exception) -> ReadState:
    if isinstance(pages, ResponseError) and str(pages).startswith("WRONGTYPE"):
        pages = []
    if isinstance(values, Exception) or isinstance(pages, Exception):
        return ReadState(available=False)
    row = values[0]
    seen = {str(generation): bitmap for generation, bitmap in zip(generations, values[1:], strict=True) if bitmap is not None}
    return ReadState(state=None if row is None else row[keys.VERSION_BYTES :], seen=seen, pages=pages)


def _holds(pages: Sequence[bytes], page: ServedPage) -> bool:
    for one in pages:
        try:
            known = unpack(ServedPage, one)
        except DecodeError:
            continue
        if (known.request_id, known.video_ids) == (page.request_id, page.video_ids):
            return True
    return False


def _kept(append: PageAppend) -> int:
    """Return how many of the newest pages stay: all of the session and the last ones before it, within the bounds of pages and bytes."""
    pages = append.expected
    n, size = len(pages) + 1, sum(map(len, pages)) + len(pack(append.page))
    for page in pages:
        if n <= keys.SESSION_PAGES_KEPT and size <= keys.SERVED_BYTES_KEPT:
            if n <= keys.SERVED_PAGES_KEPT or append.page.at_ms - _served_at(page) < SESSION_MS:
                break
        n, size = n - 1, size - len(page)
    return n


def _served_at(page: bytes) -> int:
    try:
        return unpack(ServedPage, page).at_ms
    except DecodeError:
        return 0


def _call(pipeline: Pipeline, *arguments: object) -> None:
    queue: Callable[..., object] = pipeline.execute_command
    queue(*arguments)


def _failed(error: Exception, what: str) -> StoreError:
    hint = "is Redis up?" if isinstance(error, RedisConnectionError | OSError) else ""
    return StoreError(expected=f"{what} to be acknowledged", got=f"{type(error).__name__}: {error}", where="the user store", do=hint)
