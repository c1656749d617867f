from __future__ import annotations

from pathlib import Path

import pytest

from dataflows.journal import Journal, JournalError


def read(journal: Journal, place: tuple[int, int]) -> tuple[list[bytes], list[bytes]]:
    base, batches = journal.resume(place)
    return list(base), list(batches)


def test_what_was_appended_up_to_a_place_comes_back_and_what_stands_behind_it_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    journal.append(b"one")
    journal.append(b"")
    place = journal.sync()
    journal.append(b"lost")
    again = Journal(tmp_path)
    assert read(again, place) == ([], [b"one", b""])
    again.append(b"two")
    assert read(Journal(tmp_path), again.sync()) == ([], [b"one", b"", b"two"])


def test_a_base_takes_the_place_of_the_journal_before_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    journal.append(b"one")
    journal.rebase([b"state", b"more"])
    assert journal.length == 0
    journal.append(b"two")
    assert read(Journal(tmp_path), journal.sync()) == ([b"state", b"more"], [b"two"])


def test_an_older_place_is_resumed_and_newer_generations_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    journal.append(b"one")
    older = journal.sync()
    journal.rebase([b"state"])
    journal.append(b"two")
    assert read(Journal(tmp_path), older) == ([], [b"one"])
    assert {path.stem for path in tmp_path.iterdir()} == {"00000000"}


def test_only_the_newest_generations_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, kept=2)
    journal.start()
    for n in range(6):
        journal.append(b"x")
        journal.rebase([b"%d" % n])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"0000000{n}.{kind}" for n in (4, 5, 6) for kind in ("base", "journal")]


def test_files_that_do_not_reach_as_far_are_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    journal.append(b"one")
    generation, length = journal.sync()
    with pytest.raises(JournalError, match="empty this folder"):
        Journal(tmp_path).resume((generation, length + 1))
    with pytest.raises(JournalError, match="empty this folder"):
        Journal(tmp_path).resume((generation + 1, 0))


def test_a_fresh_start_leaves_nothing_of_earlier_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.start()
    journal.append(b"one")
    journal.rebase([b"state"])
    journal.close()
    journal.start()
    assert read(Journal(tmp_path), journal.sync()) == ([], [])
