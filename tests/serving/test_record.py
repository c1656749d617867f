from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from dataflows.secrets_file import token_secret
from operators.replay.manifest import fingerprint
from schemas.settings import Settings
from serving.cli.instants import instant_ms
from serving.errors import ConfigError
from serving.record import record, secret_fingerprint


def test_the_fingerprint_is_of_the_key_that_the_feed_signs_with(tmp_path: Path) -> None:
    made = Settings(home=tmp_path)
    assert secret_fingerprint(made) is None
    assert list(tmp_path.iterdir()) == []
    assert fingerprint(token_secret(made)) == secret_fingerprint(made)
    told = Settings(home=tmp_path, token_secret=SecretStr("told"))
    assert fingerprint(token_secret(told)) == secret_fingerprint(told) != secret_fingerprint(made)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(ConfigError, match="expected a new or empty folder"):
        record(Settings(), tmp_path)
    with pytest.raises(ConfigError, match="expected a new or empty folder"):
        record(Settings(), tmp_path / "kept")
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_instants_and_ages_are_understood() -> None:
    assert instant_ms("2024-05-01T10:00Z") == instant_ms("2024-05-01T10:00") == instant_ms("2024-05-01T12:00+02:00") == 1_714_557_600_000
    now_ms = datetime.now(UTC).timestamp() * 1_000
    assert instant_ms("30m") == pytest.approx(now_ms - timedelta(minutes=30).total_seconds() * 1_000, abs=5_000)
    with pytest.raises(ConfigError, match="expected an instant"):
        instant_ms("yesterday")
