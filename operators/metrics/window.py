"""Progressive validation: each example predicted before it was learned, over the last of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.metrics.binary import auc, calibration, log_loss


class ProgressiveWindow:
    """The last predictions of one head and what happened, in a ring; figures are computed when they are read.

    Parameters
    ----------
    size
        Predictions kept, 1 or more; greater is steadier and slower to show a change.

    Attributes
    ----------
    seen : int
        Predictions so far.

    Examples
    --------
    >>> window = ProgressiveWindow(size=3)
    >>> for p, y in [(0.9, False), (0.2, False), (0.6, True), (0.4, False)]:
    ...     window.add(p, y)
    >>> len(window), window.positives, window.auc
    (3, 1, 1.0)
    """

    def __init__(self, *, size: int) -> None:
        if size < 1:
            message = f"expected 1 or more, got {size}, at size"
            raise ValueError(message)
        self.size = size
        self.seen = 0
        self._p = np.zeros(size, dtype=np.float64)
        self._y = np.zeros(size, dtype=np.bool_)

    def __len__(self) -> int:
        return min(self.seen, self.size)

    def add(self, p: float, y: bool) -> None:
        """Take in a prediction and what happened."""
        place = self.seen % self.size
        self._p[place] = p
        self._y[place] = y
        self.seen += 1

    @property
    def positives(self) -> int:
        """How often it happened."""
        return int(self._y[: len(self)].sum())

    @property
    def auc(self) -> float | None:
        """See `operators.metrics.binary.auc`."""
        return auc(self._p[: len(self)], self._y[: len(self)])

    @property
    def log_loss(self) -> float:
        """See `operators.metrics.binary.log_loss`."""
        return log_loss(self._p[: len(self)], self._y[: len(self)])

    @property
    def calibration(self) -> float:
        """See `operators.metrics.binary.calibration`."""
        return calibration(self._p[: len(self)], self._y[: len(self)])

    def dump(self) -> dict[str, Any]:
        """Return the window as plain data."""
        return {"seen": self.seen, "p": self._p[: len(self)].tobytes(), "y": self._y[: len(self)].tobytes()}

    def load(self, window: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        self.seen = window["seen"]
        self._p[: len(self)] = np.frombuffer(window["p"], dtype=np.float64)
        self._y[: len(self)] = np.frombuffer(window["y"], dtype=np.bool_)
