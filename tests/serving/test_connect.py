"""Where a command finds the system: never by a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.connect import current_settings
from serving.errors import ServiceError


def test_a_home_where_nothing_runs_is_not_another_ones_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(ServiceError, match="expected a running system, got none"):
        current_settings()
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "10.0.0.1:9092")
    assert current_settings().bootstrap_servers == "10.0.0.1:9092"
