"""Runs each stage of an answer in the same way: asks whether it takes part, times it, and names it where it fails."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from operators.outcome import Clock, Outcome
from operators.query import Query
from operators.stages import Stage

T = TypeVar("T")


class Guard:
    """The one template by which the stages of an answer run. A stage that raised takes no part in the rest of its answer.

    Parameters
    ----------
    query
        The request and its person.
    skip
        Stages that must not take part: `skipped` of a recorded answer.
    clock
        Monotonic seconds; without one nothing is timed.

    Attributes
    ----------
    skipped : list of str
        Stages that did not take part though they should have.
    errors : dict of str to str
        What a stage raised.
    laps : dict of str to float
        Seconds spent in each part of the answer.
    seconds : dict of str to float
        Seconds spent in each stage that took part.
    """

    def __init__(self, query: Query, *, skip: Collection[str] = (), clock: Clock | None = None) -> None:
        self.query = query
        self.timed = clock is not None
        self.clock: Clock = (lambda: 0.0) if clock is None else clock
        self.skipped: list[str] = []
        self.errors: dict[str, str] = {}
        self.laps: dict[str, float] = {}
        self.seconds: dict[str, float] = {}
        self._skip = skip
        self._last = self._start = self.clock()

    def run(self, stage: Stage, work: Callable[[], T], *, absent: T, failed: T, late: bool = False, name: str | None = None) -> T:
        """Return what `work` returns.

        Parameters
        ----------
        stage, work
            The stage, and the call of its method.
        absent
            Is returned where the stage is not enabled.
        failed
            Is returned where it raises, raised before, is late, or must not take part; it is named in `skipped`.
        late
            There is no time left for it.
        name
            What it is named as, if not by its own name.
        """
        name = stage.name if name is None else name
        if self.is_out(name):
            self.skip(name)
            return failed
        started = self.clock()
        try:
            if not stage.enabled(self.query):
                return absent
            if late:
                self.skip(name)
                return failed
            result = work()
        except Exception as error:
            self.skip(name, error)
            result = failed
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - started
        return result

    def is_out(self, name: str) -> bool:
        """Return whether a stage must not take part (any more)."""
        return name in self._skip or name in self.skipped

    def skip(self, name: str, error: Exception | None = None) -> None:
        """Note that a stage takes no part, and what it raised."""
        if name not in self.skipped:
            self.skipped.append(name)
        if error is not None:
            self.errors[name] = f"{type(error).__name__}: {error}"

    def aside(self) -> Guard:
        """Return a guard for a look aside: the same stages are out, and what fails there is not noted here."""
        return Guard(self.query, skip=(*self._skip, *self.skipped))

    def elapsed(self) -> float:
        """Return the seconds since it was made."""
        return self.clock() - self._start

    def lap(self, part: str) -> None:
        """Add the time since the last lap to a part of the answer."""
        now = self.clock()
        self.laps[part] = self.laps.get(part, 0.0) + now - self._last
        self._last = now

    def tell(self, outcome: Outcome) -> Outcome:
        """Write down in an outcome what became of the stages, and return it."""
        outcome.skipped, outcome.errors = self.skipped, self.errors
        outcome.seconds, outcome.stage_seconds = self.laps, self.seconds
        return outcome
