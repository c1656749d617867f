from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry

from dataflows.vector_view import VectorView
from schemas.keys import video_vector
from schemas.settings import Settings
from serving.local import Home, LocalRedis

pytestmark = pytest.mark.integration


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(Home(tmp_path).create(), port=0)
    try:
        yield server
    finally:
        server.stop()


def stored(url: str, video_id: str) -> bytes | str | None:
    client = Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 100), retry_on_error=[BusyLoadingError])
    try:
        return client.get(video_vector(video_id))
    finally:
        client.close()


async def ridden_out(view: VectorView, server: LocalRedis, url: str) -> None:
    writing = asyncio.ensure_future(view.run())
    view.put({f"v{n}": b"\x01" * 64 for n in range(2_500)})
    await found(url, "v2499", b"\x01" * 64)
    server.stop()
    view.put({"v1": b"\x02" * 64, "v2": None, "v3": b"\x05" * 64})
    await asyncio.sleep(1.2)
    view.put({"v3": b"\x03" * 64})
    assert server.start() == url
    await found(url, "v3", b"\x03" * 64)
    assert stored(url, "v1") == b"\x02" * 64
    assert stored(url, "v2") is None
    view.put({"v4": b"\x04" * 64})
    writing.cancel()
    await view.close()
    assert stored(url, "v4") == b"\x04" * 64


async def found(url: str, video_id: str, value: bytes) -> None:
    deadline = time.monotonic() + 20
    while stored(url, video_id) != value:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_vectors_wait_while_redis_is_away_and_the_newest_is_written(own_redis: LocalRedis) -> None:
    url = own_redis.start()
    view = VectorView(Settings(redis_url=url), structlog.stdlib.get_logger())
    asyncio.run(ridden_out(view, own_redis, url))


def test_a_start_writes_only_what_redis_does_not_hold(own_redis: LocalRedis) -> None:
    url = own_redis.start()
    vectors: dict[str, bytes | None] = {f"v{n}": bytes([n]) * 64 for n in range(100)}

    async def put(changed: dict[str, bytes | None]) -> None:
        view = VectorView(Settings(redis_url=url), structlog.stdlib.get_logger())
        view.put({**vectors, **changed})
        await view.close()

    def writes() -> int:
        client = Redis.from_url(url)
        try:
            return int(client.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"])
        finally:
            client.close()

    asyncio.run(put({}))
    assert writes() == 100
    asyncio.run(put({"v7": b"\x00" * 64}))
    assert writes() == 101
    assert stored(url, "v7") == b"\x00" * 64
