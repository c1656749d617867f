from pathlib import Path

import pytest

from serving.errors import ServiceError
from serving.local import java, redis
from serving.local.java import find_java, java_version, packaged_java
from serving.local.kafka import new_cluster_id
from serving.local.redis import find_redis, packaged_redis, redis_version


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' | tee /dev/stderr\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("nonsense", None),
    ],
)
def test_the_version_of_a_java_is_read(tmp_path: Path, says: str, version: int | None) -> None:
    assert java_version(program(tmp_path, "java", says)) == version


def test_the_java_on_path_is_used_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    own = program(tmp_path, "java", 'openjdk version "21.0.1"')
    assert find_java() == own
    program(tmp_path, "java", 'openjdk version "11.0.1"')
    assert find_java() == packaged_java()


def test_without_any_java_the_way_to_get_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "packaged_java", lambda: None)
    with pytest.raises(ServiceError, match=r"expected Java 17 or newer, got none.*pip install 'penstock\[local\]'"):
        find_java()


def test_the_redis_on_path_is_used_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    own = program(tmp_path, "redis-server", "Redis server v=8.0.1 sha=00000000:0")
    assert find_redis() == own
    program(tmp_path, "redis-server", "Redis server v=5.0.7 sha=00000000:0")
    assert find_redis() == packaged_redis()


def test_the_packaged_redis_runs() -> None:
    packaged = packaged_redis()
    assert packaged is not None
    version = redis_version(packaged)
    assert version is not None
    assert version >= redis.OLDEST_REDIS


def test_without_any_redis_the_way_to_get_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis, "packaged_redis", lambda: None)
    with pytest.raises(ServiceError, match=r"expected redis-server 6.2 or newer, got none"):
        find_redis()


def test_cluster_ids_are_unique_and_as_long_as_kafka_wants_them() -> None:
    ids = {new_cluster_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)
