"""All that reaches an answer of the feed from outside its request: the list of views, and the tables of a worker made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.tables.entities import EntityCounterTables
from operators.tables.items import ItemTable
from operators.tables.keyed import Keyed
from operators.tables.moderation import ModerationTable
from operators.tables.neighbours import NeighbourTable
from operators.tables.orders import Orders
from operators.tables.segments import IndexSegment, Installed
from operators.tables.trending import TrendingTable
from operators.tables.vectors import VectorTable
from operators.tables.view import Shared, SideView
from operators.tables.views import Views
from operators.tables.weights import ObjectiveTable, WeightTable
from schemas.learning import Objective

VIEWS: tuple[type[SideView[Any]], ...] = (
    ItemTable,
    VectorTable,
    IndexSegment,
    EntityCounterTables,
    TrendingTable,
    NeighbourTable,
    WeightTable,
    ObjectiveTable,
    ModerationTable,
)
"""Every view of the feed. What a worker reads, records and replays, and what its lineage tells, follows from this list."""


class SideTables(Views):
    """What a worker knows beside the request and the person.

    Parameters
    ----------
    feature_set, n_features
        The ranker's feature set; weights for another one are left out.
    objective
        The objective until a message brings another.
    dim
        Entries of a content vector.
    kinds
        The views; those of `VIEWS` must be among them. A stage finds one of its own by `view`.
    """

    def __init__(
        self, *, feature_set: str, n_features: int, objective: Objective, dim: int = 64, kinds: Sequence[type[SideView[Any]]] = VIEWS
    ) -> None:
        self.feature_set = feature_set
        self.videos = Keyed()
        self.creators = Keyed()
        self.tags = Keyed()
        shared = Shared(
            videos=self.videos,
            creators=self.creators,
            tags=self.tags,
            dim=dim,
            feature_set=feature_set,
            n_features=n_features,
            objective=objective,
        )
        super().__init__([kind.made(shared) for kind in kinds])
        self.items = self.view(ItemTable)
        kinds_of_counters = self.view(EntityCounterTables).kinds
        self.counters = kinds_of_counters["video"]
        self.orders = Orders(items=self.items, counters=self.counters)
        self.creator_counters = kinds_of_counters["creator"]
        self.tag_counters = kinds_of_counters["tag"]
        self.vectors = self.view(VectorTable)
        self.trending = self.view(TrendingTable)
        self.neighbours = self.view(NeighbourTable)
        self.moderation = self.view(ModerationTable)
        self.weights = self.view(WeightTable)
        self.objective = self.view(ObjectiveTable)
        self._index = self.view(IndexSegment)

    @property
    def segment(self) -> Installed | None:
        """The index segment in use."""
        return self._index.installed

    def versions(self) -> dict[str, str]:
        """Return `model_versions` of an answer: what came as records, the feature set, and what came as files."""
        return {**self.versions_of(artifacts=False), "features": self.feature_set, **self.versions_of(artifacts=True)}
