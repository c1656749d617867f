import hashlib
import threading
from collections import Counter
from pathlib import Path

import pytest

from serving.errors import ConfigError, ServiceError
from serving.local.jars import ensure_jars, missing_jars, remote_repositories
from serving.local.lock import LOCK_FILE, Jar, read_lock
from serving.local.relock import ROOTS, format_lock

CONTENT = {name: name.encode() * 1000 for name in ("alpha", "beta", "gamma")}
JARS = [
    Jar(group="org.x", artifact=name, version="1", sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    for name, body in CONTENT.items()
]


class Repository:
    """A Maven repository that can fail in a chosen way."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.damaged: Counter[str] = Counter()
        self.dies_at = ""

    def fetch(self, jar: Jar, scratch: Path) -> Path:
        self.asked[jar.artifact] += 1
        path = scratch / "org" / jar.filename
        path.parent.mkdir(parents=True)
        body = CONTENT[jar.artifact]
        if jar.artifact == self.dies_at:
            path.write_bytes(body[:10])
            raise KeyboardInterrupt
        if self.damaged[jar.artifact] > 0:
            self.damaged[jar.artifact] -= 1
            body = body[:-1] + b"?"
        path.write_bytes(body)
        return path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.local.jars.time.sleep", lambda _: None)


def test_all_jars_are_fetched_once(tmp_path: Path) -> None:
    repository = Repository()
    paths = ensure_jars(JARS, tmp_path, repository.fetch)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert ensure_jars(JARS, tmp_path, repository.fetch) == paths
    assert set(repository.asked.values()) == {1}


def test_a_damaged_download_is_fetched_again(tmp_path: Path) -> None:
    repository = Repository()
    repository.damaged["beta"] = 2
    ensure_jars(JARS, tmp_path, repository.fetch)
    assert repository.asked == {"alpha": 1, "beta": 3, "gamma": 1}
    assert missing_jars(JARS, tmp_path) == []


def test_a_jar_that_stays_wrong_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    repository = Repository()
    repository.damaged["beta"] = 99
    with pytest.raises(ServiceError, match=r"expected sha256 \w{64}, got sha256 \w{64}, at org.x:beta:1"):
        ensure_jars(JARS, tmp_path, repository.fetch)
    assert {path.name for path in tmp_path.iterdir()} == {"alpha-1.jar", ".lock"}


def test_a_jar_damaged_on_disk_is_fetched_again(tmp_path: Path) -> None:
    repository = Repository()
    paths = ensure_jars(JARS, tmp_path, repository.fetch)
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"?")
    paths[2].write_bytes(b"short")
    ensure_jars(JARS, tmp_path, repository.fetch)
    assert repository.asked == {"alpha": 1, "beta": 2, "gamma": 2}


def test_a_killed_download_goes_on_where_it_was(tmp_path: Path) -> None:
    repository = Repository()
    repository.dies_at = "beta"
    with pytest.raises(KeyboardInterrupt):
        ensure_jars(JARS, tmp_path, repository.fetch)
    assert [jar.artifact for jar in missing_jars(JARS, tmp_path)] == ["beta", "gamma"]
    repository.dies_at = ""
    ensure_jars(JARS, tmp_path, repository.fetch)
    assert repository.asked == {"alpha": 1, "beta": 2, "gamma": 1}


def test_two_at_once_fetch_each_jar_once(tmp_path: Path) -> None:
    repository = Repository()
    threads = [threading.Thread(target=ensure_jars, args=(JARS, tmp_path, repository.fetch)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(repository.asked.values()) == {1}
    assert missing_jars(JARS, tmp_path) == []


def test_progress_is_told_in_plain_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ensure_jars(JARS, tmp_path, Repository().fetch)
    said = capsys.readouterr()
    assert said.out == ""
    assert "fetching Kafka: 2/3 beta-1.jar" in said.err


def test_a_jar_nobody_has_is_named(tmp_path: Path) -> None:
    def fetch(jar: Jar, scratch: Path) -> Path:
        msg = "not found in remote repositories"
        raise RuntimeError(msg)

    with pytest.raises(ServiceError, match="got RuntimeError: not found.*, at org.x:alpha:1"):
        ensure_jars(JARS, tmp_path, fetch)


def test_the_lock_file_names_the_broker_and_no_host() -> None:
    locked = read_lock()
    assert len(locked) == 46
    assert set(ROOTS) <= {jar.coordinates for jar in locked}
    assert "://" not in LOCK_FILE.read_text(encoding="utf-8")


def test_the_lock_file_is_written_as_it_is_read() -> None:
    assert format_lock(read_lock()) == LOCK_FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "[[jar]]\ngroup = 'x'", "no = toml = at all"])
def test_a_file_that_is_no_lock_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="lock.toml"):
        read_lock(path)


def settings(home: Path, mirror_of: str) -> None:
    (home / ".m2").mkdir()
    (home / ".m2" / "settings.xml").write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors><mirror>'
        f"<mirrorOf>{mirror_of}</mirrorOf><url>https://mirror.example/maven/</url></mirror></mirrors></settings>"
    )


@pytest.fixture
def user_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("JGO_CONFIG_FILE", raising=False)
    return tmp_path


@pytest.mark.parametrize("mirror_of", ["central", "*", "external:*", "other, central"])
def test_a_mirror_in_the_maven_settings_is_used(user_home: Path, mirror_of: str) -> None:
    settings(user_home, mirror_of)
    assert remote_repositories() == {"central": "https://mirror.example/maven"}


@pytest.mark.parametrize("mirror_of", ["other", "*,!central"])
def test_a_mirror_of_something_else_is_not_used(user_home: Path, mirror_of: str) -> None:
    plain = remote_repositories()
    settings(user_home, mirror_of)
    assert remote_repositories() == plain


def test_the_settings_of_jgo_come_first(user_home: Path) -> None:
    settings(user_home, "central")
    (user_home / ".config").mkdir()
    (user_home / ".config" / "jgo.conf").write_text("[repositories]\ncentral = https://jgo.example/maven\n")
    assert remote_repositories() == {"central": "https://jgo.example/maven"}
