from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from dataflows.secrets_file import token_secret
from schemas.settings import Settings


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: token_secret(settings), range(32)))
    assert len(found) == 1 and len(found.pop()) == 32
    path = tmp_path / "home" / "token.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["token.key"]


def test_a_secret_of_the_settings_needs_no_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, token_secret=SecretStr("short"))
    assert len(token_secret(settings)) == 32
    assert token_secret(settings) == token_secret(settings)
    assert not list(tmp_path.iterdir())


def test_a_truncated_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / "token.key").write_bytes(b"short")
    with pytest.raises(ValueError, match="expected 32 bytes, got 5"):
        token_secret(Settings(home=tmp_path))
