"""The newest weights of the online ranker, and what it maximises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.learning import Objective, OnlineWeights


class WeightTable:
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

    def __init__(self, *, model: str, feature_set: str, n_features: int) -> None:
        self.model = model
        self.feature_set = feature_set
        self.n_features = n_features
        self.version = 0
        self.heads: dict[str, NDArray[np.float32]] = {}
        self.unfit = 0

    def upsert(self, weights: OnlineWeights) -> None:
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


class ObjectiveTable:
    """The newest objective, or the initial one before any message.

    Parameters
    ----------
    initial
        What counts until the first message, and again after a tombstone.
    """

    def __init__(self, *, initial: Objective) -> None:
        self.initial = initial
        self.current = initial

    def upsert(self, objective: Objective) -> None:
        """Take in what the ranker maximises from now on."""
        self.current = objective

    def delete(self) -> None:
        """Go back to the initial objective."""
        self.current = self.initial
