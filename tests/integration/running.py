"""Looks at the processes of a home, and starts tiny parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
from redis import Redis

from serving.local import Home
from serving.parts import HOME_MARK
from serving.state import PartState, SystemState, read_state

PARTS = Path(__file__).resolve().parents[1] / "parts"
Start = Callable[..., SystemState | None]


def parts_of(home: Home) -> list[int]:
    """Process ids of all that runs for a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(HOME_MARK) == str(home.root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def row(home: Home, name: str) -> PartState:
    state = read_state(home)
    assert state is not None
    return next(part for part in state.parts if part.name == name)


def came_back(home: Home, name: str, killed: int) -> bool:
    return row(home, name).ready and row(home, name).pid != killed


def database(redis_url: str, number: int) -> str:
    """URL of an emptied database of the Redis whose URL ends in /0."""
    url = redis_url.removesuffix("0") + str(number)
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


def eventually(what: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
