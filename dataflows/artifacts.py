"""Loads announced artifacts beside the flow, so that a large one does not hold up answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import Any, NamedTuple

from operators.tables.artifact import Announced, ArtifactError


class Loaded(NamedTuple):
    """What was announced, and what its files hold."""

    announced: Announced
    content: Any


class ArtifactLoader:
    """One thread that loads the newest announcement of each artifact; older ones that wait are skipped.

    Files that are not there, or are not what was announced, are reported and left: what is in use stays.

    Parameters
    ----------
    home
        The folder in which each artifact has its own.
    on_failure
        Called with the announcement and the error, on the loader's thread.
    """

    def __init__(self, home: Path, *, on_failure: Callable[[Announced, ArtifactError], None]) -> None:
        self.home = home
        self.on_failure = on_failure
        self._changed = Condition()
        self._wanted: dict[str, Announced] = {}
        self._loaded: dict[str, Loaded] = {}
        self._thread: Thread | None = None

    def offer(self, announced: Announced) -> None:
        """Load this one next, in the place of an older one that waits."""
        with self._changed:
            self._wanted[announced.place] = announced
            self._changed.notify()
        if self._thread is None:
            self._thread = Thread(target=self._run, name="artifacts", daemon=True)
            self._thread.start()

    def take(self) -> list[Loaded]:
        """Return what was loaded since the last call."""
        if not self._loaded:
            return []
        with self._changed:
            loaded, self._loaded = list(self._loaded.values()), {}
        return loaded

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted)
                announced = self._wanted.pop(next(iter(self._wanted)))
            self._load(announced)

    def _load(self, announced: Announced) -> None:
        try:
            content = announced.open(self.home)
        except ArtifactError as error:
            self.on_failure(announced, error)
            return
        with self._changed:
            self._loaded[announced.place] = Loaded(announced, content)
