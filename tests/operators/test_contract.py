"""Every stream operator keeps its contract; a deliberately broken one is caught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import pytest

from operators.base import Example, State, StreamOperator
from operators.checks import Check, checks_of, operators_of
from schemas.errors import ContractError

EVERY = [pytest.param(check, id=f"{kind.__qualname__}-{name}") for kind in operators_of() for name, check in checks_of(kind)]


@pytest.mark.parametrize("check", EVERY)
def test_an_operator_keeps_its_contract(check: Check) -> None:
    check()


class Sum(StreamOperator[int, int]):
    """Adds up.

    >>> 1 + 1
    2
    """

    start: ClassVar[int] = 0

    def __init__(self, *, step: int = 1) -> None:
        self.step = step
        self.total = self.start

    def on_batch(self, batch: Sequence[int]) -> list[int]:
        out = []
        for one in batch:
            self.total += one * self.step
            out.append(self.total)
        return out

    def snapshot(self) -> State:
        return {"version": 1, "total": self.total}

    def restore(self, state: State) -> None:
        self.total = state["total"]

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        yield Example(make=cls, events=[1, 2, 3, 2], endless=lambda n: n, bound=100)


def failures(kind: type[StreamOperator[Any, Any]]) -> set[str]:
    failed = set()
    for name, check in checks_of(kind):
        try:
            check()
        except ContractError:
            failed.add(name)
    return failed


def test_a_good_operator_passes() -> None:
    assert failures(Sum) == set()


def test_state_that_is_not_saved_is_caught() -> None:
    class Forgets(Sum):
        """Adds up, badly.

        >>> 1 + 1
        2
        """

        def restore(self, state: State) -> None:
            self.total = 0

    assert "survives_a_crash_at_every_event-0" in failures(Forgets)


def test_a_result_that_depends_on_the_batch_is_caught() -> None:
    class Cut(Sum):
        def on_batch(self, batch: Sequence[int]) -> list[int]:
            return [*super().on_batch(batch), len(batch)]

    assert {"one_by_one_equals_batch-0", "survives_a_crash_at_every_event-0"} <= failures(Cut)


def test_memory_that_grows_for_ever_is_caught() -> None:
    class Hoards(Sum):
        def __init__(self, *, step: int = 1) -> None:
            super().__init__(step=step)
            self.held: list[int] = []

        def on_batch(self, batch: Sequence[int]) -> list[int]:
            self.held += batch
            return super().on_batch(batch)

        def snapshot(self) -> State:
            return {"version": 1, "total": self.total, "held": list(self.held)}

        def restore(self, state: State) -> None:
            super().restore(state)
            self.held = list(state["held"])

    assert failures(Hoards) == {"docstring", "memory_is_bounded-0"}


def test_a_snapshot_that_later_events_change_is_caught() -> None:
    class Shares(Sum):
        """Adds up, badly.

        >>> 1 + 1
        2
        """

        def __init__(self, *, step: int = 1) -> None:
            super().__init__(step=step)
            self.state: State = {"version": 1, "total": 0}

        def snapshot(self) -> State:
            self.state["total"] = self.total
            return self.state

        def on_batch(self, batch: Sequence[int]) -> list[int]:
            out = super().on_batch(batch)
            self.state["total"] = self.total
            return out

    assert failures(Shares) == {"snapshot_is_plain-0"}


def test_a_parameter_that_is_not_stored_is_caught() -> None:
    class Hides(Sum):
        """Adds up, badly.

        >>> 1 + 1
        2
        """

        def __init__(self, *, step: int = 1, hidden: int = 0) -> None:
            super().__init__(step=step + hidden)

    assert failures(Hides) == {"constructor"}


def test_a_class_that_no_check_would_find_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stray:
        def on_batch(self) -> None: ...
        def snapshot(self) -> None: ...

    module = ModuleType("operators.stray")
    module.Stray = Stray  # type: ignore[attr-defined]
    Stray.__module__ = "operators.stray"
    monkeypatch.setattr("operators.checks.walk_packages", lambda *_: iter([type("M", (), {"name": "operators.stray"})]))
    monkeypatch.setattr("operators.checks.import_module", lambda _: module)
    with pytest.raises(ContractError, match=r"operators\.stray"):
        operators_of()
