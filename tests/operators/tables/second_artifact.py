"""A second artifact, as somebody would add one: its message and its class, and then it stands in the list of views."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.artifact import Artifact, checksum, size
from operators.tables.side import VIEWS, SideTables
from operators.tables.view import Shared, SideView, ViewExample
from schemas.base import Message


class PriorsReleased(Message, frozen=True, kw_only=True):
    """A table of priors is ready (`models.priors`, compacted; key: "priors")."""

    TYPE: ClassVar[str] = "penstock.models.priors"

    version: str
    path: str
    sha256: str
    size_bytes: int | None = None


class Priors(Artifact[PriorsReleased, dict[str, float]]):
    """A number for each category."""

    topic = "models.priors"
    message = PriorsReleased
    folder: ClassVar[str] = "artifacts/priors"
    one_key: ClassVar[str] = "priors"

    def __init__(self) -> None:
        self.version = "none"
        self.of: dict[str, float] = {}

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the view of a worker, empty."""
        return cls()

    def load(self, folder: Path, announced: PriorsReleased) -> dict[str, float]:
        """Read the table."""
        return {str(name): float(value) for name, value in json.loads((folder / "priors.json").read_text()).items()}

    def install(self, announced: PriorsReleased, loaded: dict[str, float]) -> None:
        """Put a table in use."""
        self.version, self.of = announced.version, loaded

    def uninstall(self) -> None:
        """Go without."""
        self.version, self.of = "none", {}

    def versions(self) -> Mapping[str, str]:
        """Return the version in use."""
        return {"priors": self.version}

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield one table, and an endless row of releases."""
        with TemporaryDirectory() as store:
            released = release(Path(store), "1", {"k": 0.5})
        yield ViewExample(
            make=cls,
            records=[("priors", released)],
            read=lambda view: (view.version, view.of),
            endless=lambda n: ("priors", PriorsReleased(version=f"{n:9}", path="x", sha256="")),
            bound=50,
            files=lambda store: release(store, "1", {"k": 0.5}),
        )


KINDS: tuple[type[SideView[Any]], ...] = (*VIEWS, Priors)


def release(store: Path, version: str, priors: dict[str, float]) -> PriorsReleased:
    """Write a table into the store, and return its announcement."""
    folder = store / f"priors-{version}"
    folder.mkdir(parents=True)
    (folder / "priors.json").write_text(json.dumps(priors))
    return PriorsReleased(version=version, path=folder.name, sha256=checksum(folder), size_bytes=size(folder))


def tables_with_priors() -> SideTables:
    """The feed's tables, with one view more in the list."""
    return SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE, kinds=KINDS)
