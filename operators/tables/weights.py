"""The newest weights of the online ranker, and what it maximises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from operators.tables.view import Shared, SideView, ViewExample, only_key
from schemas.codec import decode
from schemas.learning import Objective, OnlineWeights
from schemas.validity import keyed


class WeightTable(SideView[OnlineWeights]):
    """Weights per head of the newest message of one model.

    A message for another feature set, or of another size, is left out and counted: those weights belong to other columns.

    Parameters
    ----------
    model
        The model whose messages count.
    feature_set
        The feature set that the ranker computes.
    n_features
        Its size; each head carries one weight more, the bias.

    Attributes
    ----------
    version : int
        Version of the weights in use, 0 before the first ones.
    heads : dict of str to (n_features + 1,) float32
        The weights in use.
    unfit : int
        Messages left out.
    """

    topic = "models.online"
    message = OnlineWeights

    def __init__(self, *, model: str, feature_set: str, n_features: int) -> None:
        self.model = model
        self.feature_set = feature_set
        self.n_features = n_features
        self.version = 0
        self.heads: dict[str, NDArray[np.float32]] = {}
        self.unfit = 0

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(model="online", feature_set=shared.feature_set, n_features=shared.n_features)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> OnlineWeights:
        """Decode weights."""
        return keyed(OnlineWeights, "model", key, value)

    def apply(self, weights: OnlineWeights) -> None:
        """Take in the model's newest weights."""
        if weights.model != self.model:
            return
        size = 4 * (self.n_features + 1)
        if weights.feature_set != self.feature_set or any(len(data) != size for data in weights.heads.values()):
            self.unfit += 1
            return
        heads = {head: np.frombuffer(data, dtype=np.float32) for head, data in weights.heads.items()}
        if not all(np.isfinite(values).all() for values in heads.values()):
            self.unfit += 1
            return
        self.heads = heads
        self.version = weights.version

    def delete(self, model: str) -> None:
        """Go back to the initial weights."""
        if model == self.model:
            self.heads = {}
            self.version = 0

    def versions(self) -> Mapping[str, str]:
        """Return the version of the weights."""
        return {self.model: str(self.version)}

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield weights of two models, one of which is another's."""

        def weights(model: str, version: int) -> tuple[str, OnlineWeights]:
            data = np.full(3, version, dtype=np.float32).tobytes()
            return model, OnlineWeights(model=model, version=version, feature_set="f", updated_ms=1, examples=1, heads={"like": data})

        def read(table: WeightTable) -> object:
            return table.version, {head: values.tolist() for head, values in table.heads.items()}

        yield ViewExample(
            make=lambda: cls(model="online", feature_set="f", n_features=2),
            records=[weights("online", 3), weights("other", 9)],
            read=read,
            endless=lambda n: weights("online", n),
            bound=20,
        )


class ObjectiveTable(SideView[Objective]):
    """The newest objective, or the initial one before any message.

    Parameters
    ----------
    initial
        What counts until the first message, and again after a tombstone.
    """

    topic = "control.objective"
    message = Objective
    one_key = "feed"

    def __init__(self, *, initial: Objective) -> None:
        self.initial = initial
        self.current = initial

    @classmethod
    def made(cls, shared: Shared) -> Self:
        """Return the table of a worker, empty."""
        return cls(initial=shared.objective)

    def prepare(self, key: bytes | None, value: bytes, offset: int) -> Objective:
        """Decode an objective."""
        self.key(key)
        return decode(Objective, value)

    def key(self, key: bytes | None) -> str:
        """Return the one key of the topic."""
        return only_key(self.one_key, key)

    def apply(self, objective: Objective) -> None:
        """Take in what the ranker maximises from now on."""
        self.current = objective

    def delete(self, key: str) -> None:
        """Go back to the initial objective."""
        self.current = self.initial

    def versions(self) -> Mapping[str, str]:
        """Return the version of the objective."""
        return {"objective": self.current.version}

    @classmethod
    def examples(cls) -> Iterator[ViewExample]:
        """Yield one objective after another."""
        yield ViewExample(
            make=lambda: cls(initial=Objective(version="0", heads={"like": 1.0})),
            records=[("feed", Objective(version="1", heads={"like": 0.5, "share": 2.0}, exploration_rate=0.1))],
            read=lambda table: table.current,
            endless=lambda n: ("feed", Objective(version=f"{n:9}", heads={"like": 1.0})),
            bound=20,
        )
