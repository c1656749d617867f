from __future__ import annotations

from pathlib import Path

from dataflows.claims import Claims


def test_a_shard_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    first, second = Claims(tmp_path / "labels"), Claims(tmp_path / "labels")
    waited: list[int] = []
    assert first.take([0, 1], give_up=lambda: False, on_wait=waited.append)
    assert second.take([2, 3], give_up=lambda: False, on_wait=waited.append)
    assert waited == []
    third = Claims(tmp_path / "labels")
    assert not third.take([1, 2], give_up=lambda: bool(waited), on_wait=waited.append)
    first.release()
    second.release()
    third.release()
    assert third.take([0, 1, 2, 3], give_up=lambda: True, on_wait=waited.append)
    third.release()
