"""The AdaGrad step with a pull towards a prior, on weights of any shape, and the columns of named features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class AdaGrad:
    r"""Weights that go down gradients, each by a rate that shrinks with the gradients it has seen.

    .. math::
        g \leftarrow g + \lambda (w - w_0), \quad
        G \leftarrow G + g^2, \quad
        w \leftarrow w - \frac{\eta}{\sqrt{G + \epsilon}} g

    Parameters
    ----------
    prior
        Weights w₀ before anything was learned, of any shape.
    lr
        Learning rate η > 0; the first step of a weight is about this long.
    start
        G before the first step, ≥ 0; greater makes the first steps shorter.
    l2
        Strength λ ≥ 0 of the pull towards the prior; 0 lets the weights go anywhere.
    eps
        Added under the root, ≥ 0; more than 0 where `start` is 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> step = AdaGrad(prior=np.zeros(2), lr=0.5, start=1.0)
    >>> step.down(np.array([3.0, 0.0]))
    >>> step.weights.round(3).tolist()
    [-0.474, 0.0]

    References
    ----------
    Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic optimization. JMLR 12 (2011).
    """

    def __init__(self, *, prior: Floats, lr: float, start: float, l2: float = 0.0, eps: float = 0.0) -> None:
        if not (lr > 0 and start >= 0 and l2 >= 0 and eps >= 0 and start + eps > 0):
            message = f"expected lr > 0, start, l2, eps >= 0 and start + eps > 0, got {lr}, {start}, {l2}, {eps}"
            raise ValueError(message)
        self.prior = np.array(prior, dtype=np.float64)
        self.lr = lr
        self.start = start
        self.l2 = l2
        self.eps = eps
        self.weights = self.prior.copy()
        self.squares = np.full(self.prior.shape, start, dtype=np.float64)
        self._is_row = False

    def down(self, gradient: Floats, moves: Floats | None = None) -> None:
        """Take one step; the gradient's array is used up.

        Parameters
        ----------
        gradient
            Of the loss, of the weights' shape.
        moves
            1 where the prior pulls and 0 where it does not, to be multiplied with the weights; None: it pulls everywhere.
        """
        if self.l2:
            pull = self.l2 * (self.weights - self.prior)
            gradient += pull if moves is None else pull * moves
        self.squares += gradient * gradient
        seen = self.squares + self.eps if self.eps else self.squares
        self.weights -= self.lr / np.sqrt(seen) * gradient

    def grow(self, n: int) -> None:
        """Append n weights that start at 0; the weights must be flat.

        Raises
        ------
        ValueError
            If they are a row of a table.
        """
        if self._is_row:
            message = f"expected the {len(self.weights)} features of the table, got {n} more"
            raise ValueError(message)
        self.prior = np.append(self.prior, np.zeros(n))
        self.weights = np.append(self.weights, np.zeros(n))
        self.squares = np.append(self.squares, np.full(n, self.start))

    def row(self, place: int) -> Self:
        """Return the step of one row of a table: it moves the weights of this one."""
        one = type(self)(prior=self.prior[place], lr=self.lr, start=self.start, l2=self.l2, eps=self.eps)
        one.prior, one.weights, one.squares = self.prior[place], self.weights[place], self.squares[place]
        one._is_row = True
        return one

    def dump(self) -> dict[str, Any]:
        """Return what was learned, as plain data."""
        return {"weights": self.weights.tobytes(), "squares": self.squares.tobytes(), "prior": self.prior.tobytes()}

    def load(self, learned: dict[str, Any]) -> None:
        """Take back what `dump` returned, into the same arrays unless it has more weights."""
        missing = len(learned["prior"]) // self.prior.itemsize - self.prior.size
        if missing:
            self.grow(missing)
        for array, name in ((self.prior, "prior"), (self.weights, "weights"), (self.squares, "squares")):
            array[...] = np.frombuffer(learned[name]).reshape(array.shape)


class Columns:
    """The places of features by name: turns what river's estimators are given into rows.

    Parameters
    ----------
    names
        The features of the first columns.
    """

    def __init__(self, *, names: Iterable[Any]) -> None:
        self._places = {name: place for place, name in enumerate(names)}

    @property
    def names(self) -> list[Any]:
        """The features in the order of their columns."""
        return list(self._places)

    def add(self, x: Iterable[Any]) -> int:
        """Give each feature that has none the next column; return how many there are in all."""
        for name in x:
            if name not in self._places:
                self._places[name] = len(self._places)
        return len(self._places)

    def row(self, x: Mapping[Any, Any], n: int) -> Floats:
        """Return the features as a row of n columns, shape (n,); a feature without a column is left out."""
        row = np.zeros(n)
        for name, value in x.items():
            place = self._places.get(name)
            if place is not None:
                row[place] = value
        return row
