"""Every view of a side topic keeps its contract; deliberately broken ones are caught."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from operators.checks import Check
from operators.tables.side import VIEWS
from operators.tables.view import Shared, SideView, ViewExample
from operators.view_checks import check_view, view_checks_of, views_of
from schemas.codec import decode
from schemas.errors import ContractError
from schemas.features import Neighbours
from schemas.validity import neighbours
from tests.operators.tables.second_artifact import Priors, PriorsReleased

EVERY = [pytest.param(check, id=f"{kind.__qualname__}-{name}") for kind in views_of() for name, check in view_checks_of(kind)]


@pytest.mark.parametrize("check", EVERY)
def test_a_view_keeps_its_contract(check: Check) -> None:
    check()


def test_every_view_of_the_package_is_in_the_list() -> None:
    assert set(views_of()) == set(VIEWS)


class Near(SideView[Neighbours]):
    """How many neighbours each video has."""

    topic = "features.neighbours"
    message = Neighbours

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    @classmethod
    def made(cls, shared: Shared) -> Self:
        return cls()

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> Neighbours:
        return neighbours(key, value)

    def apply(self, record: Neighbours) -> None:
        self.known[record.video_id] = len(record.video_ids)

    def delete(self, key: str) -> None:
        self.known.pop(key, None)

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        def near(video_id: str, *others: str) -> tuple[str, Neighbours]:
            return video_id, Neighbours(video_id=video_id, as_of_ms=1, video_ids=list(others), weights=[1.0] * len(others))

        yield ViewExample(
            make=cls,
            records=[near("a", "b", "c"), near("b", "a")],
            read=lambda view: dict(view.known),
            endless=lambda n: near(f"v{n % 9}", f"w{n}"),
            bound=50,
        )


def failures(kind: type[SideView[Any]]) -> set[str]:
    failed = set()
    for name, check in view_checks_of(kind):
        try:
            check()
        except ContractError:
            failed.add(name.removesuffix("-0"))
    return failed


def test_a_good_view_passes() -> None:
    check_view(Near)


def test_a_view_without_examples_is_caught() -> None:
    class Silent(Near):
        @classmethod
        def examples(cls) -> Iterator[ViewExample]:
            yield from ()

    with pytest.raises(ContractError, match="expected at least one example"):
        check_view(Silent)


def test_an_answer_that_depends_on_the_order_is_caught() -> None:
    class Ordered(Near):
        def apply(self, record: Neighbours) -> None:
            self.known[record.video_id] = len(self.known)

    assert "order_does_not_matter" in failures(Ordered)


def test_sums_in_place_of_values_are_caught() -> None:
    class Adds(Near):
        def apply(self, record: Neighbours) -> None:
            self.known[record.video_id] = self.known.get(record.video_id, 0) + len(record.video_ids)

    assert "newest_record_of_a_key_counts" in failures(Adds)


def test_a_tombstone_that_leaves_something_is_caught() -> None:
    class Keeps(Near):
        def delete(self, key: str) -> None:
            if key in self.known:
                self.known[key] = 0

    assert failures(Keeps) == {"tombstone_takes_back"}


def test_what_is_touched_before_it_is_checked_is_caught() -> None:
    class Hasty(Near):
        def prepare(self, key: bytes | None, value: bytes, offset: int) -> Neighbours:
            self.known["asked"] = self.known.get("asked", 0) + 1
            return super().prepare(key, value, offset)

    assert {"garbage_changes_nothing", "preparing_touches_nothing"} <= failures(Hasty)


def test_a_key_that_is_not_looked_at_is_caught() -> None:
    class Trusting(Near):
        def prepare(self, key: bytes | None, value: bytes, offset: int) -> Neighbours:
            return decode(Neighbours, value)

    assert "key_is_that_of_the_message" in failures(Trusting)


def test_an_apply_that_raises_is_caught() -> None:
    class Divides(Near):
        def apply(self, record: Neighbours) -> None:
            self.known[record.video_id] = 6 // len(record.video_ids)

    assert failures(Divides) == {"what_is_prepared_can_be_applied"}


def test_memory_that_grows_for_ever_is_caught() -> None:
    class Hoards(Near):
        def __init__(self) -> None:
            super().__init__()
            self.held: list[str] = []

        def apply(self, record: Neighbours) -> None:
            super().apply(record)
            self.held += record.video_ids

    assert failures(Hoards) == {"memory_is_bounded"}


def test_an_artifact_that_is_in_use_before_its_installation_is_caught() -> None:
    class Eager(Priors):
        def prepare(self, key: bytes | None, value: bytes, offset: int) -> PriorsReleased:
            released = super().prepare(key, value, offset)
            self.version = released.version
            return released

    assert {"preparing_touches_nothing", "announcement_alone_changes_nothing"} <= failures(Eager)


def test_an_artifact_that_loads_into_what_is_read_is_caught() -> None:
    class Mixes(Priors):
        def load(self, folder: Path, announced: PriorsReleased) -> dict[str, float]:
            self.of = super().load(folder, announced)
            return self.of

    assert "files_are_those_announced" in failures(Mixes)


def test_a_class_that_looks_like_a_view_and_is_none_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strays").mkdir()
    (tmp_path / "strays" / "__init__.py").write_text("")
    (tmp_path / "strays" / "one.py").write_text("class Stray:\n    def prepare(self): ...\n    def apply(self): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    package = ModuleType("strays")
    package.__path__ = [str(tmp_path / "strays")]
    with pytest.raises(ContractError, match="expected a subclass of operators.tables.view.SideView"):
        views_of(package)
