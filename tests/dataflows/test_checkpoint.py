from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.checkpoint import CheckpointError, Checkpoints, Rows, Taken
from dataflows.objects import Objects, Stored
from schemas.errors import ConfigError

PLACE = ("events", 0)


class Killed(Exception):
    """The process is gone."""


class Mortal(Objects):
    """Objects of a process that is killed at a step: before it, or (a put on object storage that is none) in the middle of it."""

    def __init__(self, url: str, *, steps: int, is_torn: bool) -> None:
        super().__init__(url)
        self.steps = steps
        self.is_torn = is_torn

    def put(self, name: str, chunks: Iterable[bytes]) -> Stored:
        if self._dies():
            if self.is_torn:
                data = b"".join(chunks)
                super().put(name, [data[: len(data) // 2]])
            raise Killed
        return super().put(name, chunks)

    def delete(self, name: str) -> None:
        if self._dies():
            raise Killed
        super().delete(name)

    def _dies(self) -> bool:
        self.steps -= 1
        return self.steps < 0


def state(checkpoints: Checkpoints, shard: int = 0) -> tuple[int, bytes, dict[str, bytes]] | None:
    saved = checkpoints.load(shard)
    if saved is None:
        return None
    rows = list(saved.rows)
    assert len({key for key, _ in rows}) == len(rows)
    assert checkpoints.offsets([shard]) == saved.offsets
    return saved.offsets[PLACE], saved.head, dict(rows)


def taken(number: int, rows: Rows) -> Taken:
    return Taken({PLACE: number}, b"head %d" % number, rows)


def folded(changes: list[Rows]) -> list[tuple[int, bytes, dict[str, bytes]] | None]:
    """Return the state before any change, and after each."""
    rows: dict[str, bytes] = {}
    states: list[tuple[int, bytes, dict[str, bytes]] | None] = [None]
    for number, change in enumerate(changes, 1):
        for key, row in change.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        states.append((number, b"head %d" % number, dict(rows)))
    return states


CHANGES = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.binary(max_size=20), max_size=6), min_size=1, max_size=6)


FOLDERS = count()


@given(changes=CHANGES, is_torn=st.booleans(), most=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_killed_at_any_step_of_its_writing_a_checkpoint_is_the_last_one_or_the_one_under_way(
    changes: list[Rows], is_torn: bool, most: int
) -> None:
    states = folded(changes)
    steps = 0
    was_killed = True
    while was_killed:
        url = f"memory://killed/{next(FOLDERS)}"
        written, was_killed = 0, False
        checkpoints = Checkpoints(Mortal(url, steps=steps, is_torn=is_torn), most=most)
        try:
            for number, rows in enumerate(changes, 1):
                checkpoints.put(0, taken(number, rows))
                written = number
        except Killed:
            was_killed = True
        again = Checkpoints(Objects(url), most=most)
        found = state(again)
        assert found in states[written : written + 2]
        # It goes on from what it found, over whatever the dead process left behind.
        at = states.index(found)
        for number, rows in enumerate(changes[at:], at + 1):
            again.put(0, taken(number, rows))
        assert state(Checkpoints(Objects(url))) == states[-1]
        steps += 1
    assert steps > 2 * len(changes)


def test_what_was_half_written_on_a_disk_has_no_name_and_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    def torn() -> Iterable[bytes]:
        yield b"half"
        raise Killed

    objects = Objects(str(tmp_path))
    Checkpoints(objects).put(0, taken(1, {"a": b"1"}))
    with pytest.raises(Killed):
        objects.put("0/000000000002.manifest", torn())
    assert objects.read("0/000000000002.manifest") is None
    again = Checkpoints(objects)
    assert state(again) == (1, b"head 1", {"a": b"1"})
    again.put(0, taken(2, {"b": b"2"}))
    assert not list((tmp_path / "0").glob("*.part"))


@pytest.mark.parametrize("kind", ["manifest", "rows"])
@pytest.mark.parametrize("how", ["torn", "changed", "gone"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_is_used(tmp_path: Path, kind: str, how: str) -> None:
    checkpoints = Checkpoints(Objects(str(tmp_path)))
    changes: list[Rows] = [{"a": b"1"}, {"a": b"2"}, {"a": b"3", "b": b"4"}]
    for number, rows in enumerate(changes, 1):
        checkpoints.put(0, taken(number, rows))
    path = max((tmp_path / "0").glob(f"*.{kind}"))
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if how == "torn" else data[:-1] + bytes([data[-1] ^ 1]))
    again = Checkpoints(Objects(str(tmp_path)))
    assert state(again) == (2, b"head 2", {"a": b"2"})
    again.put(0, taken(4, {"c": b"5"}))
    assert state(Checkpoints(Objects(str(tmp_path)))) == (4, b"head 4", {"a": b"2", "c": b"5"})


def test_files_of_others_and_manifests_of_another_version_are_passed_over(tmp_path: Path) -> None:
    Checkpoints(Objects(str(tmp_path))).put(0, Taken({PLACE: 1}, b"one", {"a": b"1"}))
    (tmp_path / "0" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "0" / "notes.manifest").write_bytes(b"x")
    other = msgspec.msgpack.encode({"format": 2})
    (tmp_path / "0" / "000000000009.manifest").write_bytes(sha256(other).digest() + other)
    again = Checkpoints(Objects(str(tmp_path)))
    saved = again.load(0)
    assert saved is not None
    assert (saved.offsets, saved.head) == ({PLACE: 1}, b"one")
    again.put(0, Taken({PLACE: 2}, b"two", {}))
    assert {".DS_Store", "notes.manifest"} < {one.name for one in (tmp_path / "0").iterdir()}
    assert Checkpoints(Objects(str(tmp_path))).offsets([0]) == {PLACE: 2}


def test_when_no_checkpoint_is_whole_the_topics_are_read_from_their_start(tmp_path: Path) -> None:
    Checkpoints(Objects(str(tmp_path))).put(0, taken(7, {"a": b"1"}))
    for path in (tmp_path / "0").iterdir():
        path.write_bytes(b"")
    again = Checkpoints(Objects(str(tmp_path)))
    assert state(again) is None
    assert again.offsets([0]) == {}


def test_what_is_damaged_after_its_offsets_were_asked_for_is_refused(tmp_path: Path) -> None:
    Checkpoints(Objects(str(tmp_path))).put(0, taken(7, {"a": b"1"}))
    again = Checkpoints(Objects(str(tmp_path)))
    assert again.offsets([0]) == {PLACE: 7}
    next((tmp_path / "0").glob("*.rows")).write_bytes(b"")
    with pytest.raises(CheckpointError, match="expected .* bytes with SHA-256"):
        again.load(0)


def test_objects_stay_few_and_rows_are_written_a_few_times_only(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Objects(str(tmp_path)), most=4)
    rounds, size = 200, 50
    written = 0
    for number in range(1, rounds + 1):
        before = set((tmp_path / "0").glob("*.rows"))
        checkpoints.put(0, taken(number, {f"{number}/{n}": b"x" * 100 for n in range(size)}))
        written += sum(path.stat().st_size for path in set((tmp_path / "0").glob("*.rows")) - before)
        assert len(list((tmp_path / "0").iterdir())) <= 2 * (4 + 16) + 2
    found = state(checkpoints)
    assert found is not None
    assert len(found[2]) == rounds * size
    assert written < 16 * rounds * size * 115


def test_rows_of_many_blocks_come_back_and_those_that_are_gone_do_not_stay_in_the_files(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Objects(str(tmp_path)), most=1)
    checkpoints.put(0, taken(1, {str(n): b"x" * 1_000 for n in range(2_000)}))
    checkpoints.put(0, taken(2, {str(n): None for n in range(1_000)} | {str(n): b"y" * 2_000 for n in range(1_000, 2_000)}))
    checkpoints.put(0, taken(3, {}))
    found = state(Checkpoints(Objects(str(tmp_path))))
    assert found == (3, b"head 3", {str(n): b"y" * 2_000 for n in range(1_000, 2_000)})
    assert 2_000_000 < sum(path.stat().st_size for path in (tmp_path / "0").glob("*.rows")) < 2_100_000


def test_shards_do_not_know_of_each_other(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Objects(str(tmp_path)))
    checkpoints.put(1, Taken({("events", 1): 3}, b"one", {"a": b"1"}))
    checkpoints.put(12, Taken({("events", 12): 4, ("history", 12): 1}, b"two", {"a": b"2"}))
    assert checkpoints.offsets(range(16)) == {("events", 1): 3, ("events", 12): 4, ("history", 12): 1}
    saved = checkpoints.load(1)
    assert saved is not None
    assert dict(saved.rows) == {"a": b"1"}


def test_any_storage_that_fsspec_knows_will_do() -> None:
    url = "memory://test-checkpoint"
    for number in range(1, 30):
        Checkpoints(Objects(url), most=2).put(0, taken(number, {str(number): b"1"}))
    assert state(Checkpoints(Objects(url))) == (29, b"head 29", {str(number): b"1" for number in range(1, 30)})


def test_fewer_than_two_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="expected kept of 2 or more"):
        Checkpoints(Objects("memory://none"), kept=1)


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="expected a folder that can be made"):
        Objects(str(tmp_path / "file" / "folder"))
