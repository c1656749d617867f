"""What the doctor says of services: judged from facts; and of what is not there at all."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from schemas.settings import Settings
from schemas.system import SystemRecord
from serving.api_versions import NEEDED, api_versions
from serving.checkup import check_up, judge_clock, judge_redis, silent
from serving.local import Home
from serving.owner import Owner


@pytest.mark.parametrize(
    ("version", "policy", "fix"),
    [
        ("7.0.15", "noeviction", ""),
        ("6.2.0", "noeviction", ""),
        ("6.0.16", "noeviction", "use a newer Redis"),
        ("7.2", "allkeys-lru", "set maxmemory-policy noeviction"),
        ("unknown", "noeviction", "use a newer Redis"),
    ],
)
def test_a_store_must_be_new_enough_and_forget_nothing(version: str, policy: str, fix: str) -> None:
    found = judge_redis("redis://h:1/0", version, policy)
    assert (found.ok, found.fix) == (not fix, fix)


@pytest.mark.parametrize(
    ("skew_ms", "words", "ok"), [(40, "0.0 s ahead", True), (-29_000, "29.0 s behind", True), (31_000, "31.0 s ahead", False)]
)
def test_clocks_that_differ_are_told(skew_ms: int, words: str, ok: bool) -> None:
    record = SystemRecord(system_id="s", host="h", home="/x", up_since_ms=0, at_ms=1_000_000)
    found = judge_clock(Owner(record, 1_000_000 + skew_ms))
    assert (found.ok, words in found.found) == (ok, True)
    assert judge_clock(None).ok


def test_silence_is_no_failure_but_something_to_do() -> None:
    found = silent("none of 500 events is an impression")
    assert found.ok
    assert found.fix


def test_services_that_nobody_named_are_not_looked_at_and_those_that_are_away_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    for name in ("PENSTOCK_BOOTSTRAP_SERVERS", "PENSTOCK_REDIS_URL", "PENSTOCK_TOPIC_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path).create()
    assert check_up(home) == []
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://127.0.0.1:1/0")
    kafka, redis = check_up(home)
    assert (kafka.name, kafka.ok, kafka.wanted) == ("kafka", False, "an answer from 127.0.0.1:1")
    assert (redis.name, redis.ok, redis.wanted) == ("redis", False, "an answer from redis://127.0.0.1:1/0")
    assert "refused" in kafka.found
    assert "refused" in redis.found
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "me:secret@127.0.0.1:1")
    (_, redis) = check_up(home)
    assert (redis.name, redis.ok, redis.found, redis.fix) == ("redis", False, "127.0.0.1:1", "correct it")


def answering(reply: bytes) -> int:
    """Answer one connection with these bytes, and return the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection, server:
            connection.recv(100)
            connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    port: int = server.getsockname()[1]
    return port


def test_the_versions_that_a_broker_tells_are_read() -> None:
    rows = b"".join(struct.pack(">hhh", need.key, 0, need.version) for need in NEEDED)
    body = struct.pack(">ihi", 1, 0, len(NEEDED)) + rows
    found = api_versions(Settings(bootstrap_servers=f"127.0.0.1:{answering(struct.pack('>i', len(body)) + body)}"))
    assert found == {need.key: (0, need.version) for need in NEEDED}


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x00\x00\x00\x03abc", struct.pack(">iihi", 10, 1, 35, 0)])
def test_something_else_than_a_broker_is_an_error_of_the_system(reply: bytes) -> None:
    with pytest.raises(OSError):
        api_versions(Settings(bootstrap_servers=f"127.0.0.1:{answering(reply)}"))
