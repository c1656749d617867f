"""The vectors in Redis, `video:vector:{id}`: a view for other programs, written behind the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from dataflows.logs import Log
from schemas.keys import video_vector
from schemas.settings import Settings

_CHUNK = 1_000
_RETRY_S = 0.5


class VectorView:
    """Writes the newest vector of each video, later but surely: what Redis does not take is kept and tried again.

    The wait costs memory for one vector a video, whatever the number of writes. A process that starts puts the whole catalogue, so what an
    earlier one left undone is made good; what stands in Redis already is read and not written again.

    Parameters
    ----------
    settings
        Where Redis is.
    log
        Told when Redis goes away and comes back.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        self._redis: Redis = Redis.from_url(settings.redis_url, **_credentials(settings), socket_timeout=5)
        self._log = log
        self._waiting: dict[str, bytes | None] = {}
        self._wake = asyncio.Event()
        self._is_away = False

    def put(self, vectors: Mapping[str, bytes | None]) -> None:
        """Note new vectors; None deletes."""
        for video_id, vector in vectors.items():
            self._waiting[video_id] = vector
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            if not await self.write_some():
                await asyncio.sleep(_RETRY_S)

    async def write_some(self) -> bool:
        """Write what waits, at most a thousand vectors; return whether Redis took it."""
        some = dict(list(self._waiting.items())[:_CHUNK])
        pipe = self._redis.pipeline(transaction=False)
        try:
            there = await self._redis.mget([video_vector(video_id) for video_id in some]) if some else []
            for (video_id, vector), stored in zip(some.items(), there, strict=True):
                if vector is None:
                    pipe.delete(video_vector(video_id))
                elif vector != stored:
                    pipe.set(video_vector(video_id), vector)
            await pipe.execute()
        except (RedisError, OSError) as error:
            self._say(away=True, error=str(error))
            return False
        self._say(away=False)
        for video_id, vector in some.items():
            if self._waiting.get(video_id, b"") is vector:
                del self._waiting[video_id]
        if not self._waiting:
            self._wake.clear()
        return True

    async def close(self) -> None:
        """Write what still waits, once, and leave."""
        while self._waiting and await self.write_some():
            pass
        await self._redis.aclose()

    def _say(self, *, away: bool, **detail: str) -> None:
        if away != self._is_away:
            self._is_away = away
            self._log.warning(
                "redis does not answer, vectors wait" if away else "redis answers again", waiting=len(self._waiting), **detail
            )


def _credentials(settings: Settings) -> dict[str, Any]:
    password = None if settings.redis_password is None else settings.redis_password.get_secret_value()
    given = {"username": settings.redis_username, "password": password}
    return {name: value for name, value in given.items() if value is not None}
