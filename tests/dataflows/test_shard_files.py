"""Checkpoints in files: replaced whole, told when damaged, and one process's at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.shard_files import Checkpoint, ShardFiles


def checkpoint(n: int, shard: int = 3) -> Checkpoint:
    return Checkpoint(shard=shard, next=[("telemetry.events", 1, n)], state={"version": 1, "state": bytes([n]) * 50})


def test_what_was_saved_is_loaded_and_there_is_nothing_before(tmp_path: Path) -> None:
    files = ShardFiles(tmp_path / "labels")
    assert files.load(3) is None
    for n in range(3):
        files.save(checkpoint(n))
        assert ShardFiles(tmp_path / "labels").load(3) == checkpoint(n)
    assert files.load(4) is None
    assert checkpoint(2).offsets() == {("telemetry.events", 1): 2}
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "labels", *(tmp_path / "labels").iterdir())} == {0}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_wherever_the_newest_is_damaged_the_one_before_counts(tmp_path: Path, data: st.DataObject) -> None:
    files = ShardFiles(tmp_path / "labels")
    files.save(checkpoint(1))
    files.save(checkpoint(2))
    newest = tmp_path / "labels" / "3.checkpoint"
    whole = newest.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    newest.write_bytes(data.draw(st.sampled_from([whole[:at], whole[:at] + changed + whole[at + 1 :], b""])))
    assert files.load(3) == checkpoint(1)


@pytest.mark.parametrize("step", ["unlink", "hardlink_to", "replace"])
def test_a_process_that_dies_between_any_two_steps_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    files = ShardFiles(tmp_path / "labels")
    files.save(checkpoint(1))
    files.save(checkpoint(2))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, step, die)
        with pytest.raises(KeyboardInterrupt):
            files.save(checkpoint(3))
    assert files.load(3) == checkpoint(2)
    files.save(checkpoint(4))
    assert files.load(3) == checkpoint(4)


def test_a_shard_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    first, second = ShardFiles(tmp_path / "labels"), ShardFiles(tmp_path / "labels")
    waited: list[int] = []
    assert first.claim([0, 1], give_up=lambda: False, on_wait=waited.append)
    assert second.claim([2, 3], give_up=lambda: False, on_wait=waited.append)
    assert waited == []
    third = ShardFiles(tmp_path / "labels")
    assert not third.claim([1, 2], give_up=lambda: bool(waited), on_wait=waited.append)
    first.release()
    second.release()
    third.release()
    assert third.claim([0, 1, 2, 3], give_up=lambda: True, on_wait=waited.append)
    third.release()
