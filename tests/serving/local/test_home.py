from pathlib import Path

import pytest

from serving.local.home import Home, cache_folder


def test_the_state_is_kept_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_HOME", raising=False)
    root = Home.default().root
    assert root.name == ".penstock"
    assert (root.parent / "topics.yaml").is_file()


def test_the_environment_moves_the_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "elsewhere"))
    assert Home.default() == Home(tmp_path / "elsewhere")


def test_the_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    folders = [home.root, home.kafka, home.redis, home.logs, home.run, home.segments, home.recovery]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700] * 7


def test_a_root_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = Home(tmp_path).create()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert home.redis.stat().st_mode & 0o777 == 0o700


def test_making_a_home_twice_keeps_what_is_in_it(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    (home.segments / "s1").write_bytes(b"x")
    assert (home.create().segments / "s1").read_bytes() == b"x"


def test_downloads_are_shared_by_all_checkouts_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "penstock"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "penstock"
