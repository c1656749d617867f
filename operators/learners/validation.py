"""Progressive validation of several heads: river's metrics over a window, river's drift detector on the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.drift import LossChange
from operators.metrics.window import ProgressiveWindow
from schemas.learning import DriftAlarm, LearningMetrics

Floats = NDArray[np.float64]

Moment = tuple[int, int]
"""The number of an example, and the newest outcome at that time: epoch milliseconds."""


@dataclass(slots=True)
class _New:
    """What was added to a head since it was settled last; the moments are those of the losses."""

    p: list[float] = field(default_factory=list)
    y: list[bool] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)


class Validation:
    """Keeps for each head what was predicted before it was learned, and says when its loss changed.

    The loss is the squared error, which lies in [0, 1] as ADWIN's bound asks: (p - y)² of one prediction, half the sum of them
    over the items of a choice. What is added counts once it is settled.

    Parameters
    ----------
    model
        Name of the model.
    heads
        Its heads.
    window
        Predictions that the metrics look back on.
    detector, params
        See `operators.drift.LossChange`; without a name nothing is detected.

    Attributes
    ----------
    risen : dict of str to int
        Heads whose last change was for the worse, and when it was found: epoch milliseconds of an outcome.
    """

    def __init__(
        self, *, model: str, heads: Sequence[str], window: int, detector: str = "", params: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model
        self.heads = tuple(heads)
        self.window = window
        self.detector = detector
        self.params = params
        self.risen: dict[str, int] = {}
        self._windows = {head: ProgressiveWindow(size=window) for head in heads}
        self._changes = {head: LossChange(detector=detector, params=params) for head in heads} if detector else {}
        self._new = {head: _New() for head in heads}
        self._row_heads: Sequence[str] = ()
        self._rows: list[tuple[Floats, Floats, Moment]] = []

    def add(self, head: str, predicted: Sequence[float], chosen: int, moment: Moment) -> None:
        """Take in the probabilities of a choice, or of one item, and the place of what happened, -1 for nothing."""
        new = self._new[head]
        new.moments.append(moment)
        if len(predicted) == 1:
            p, happened = predicted[0], chosen == 0
            new.p.append(p)
            new.y.append(happened)
            new.losses.append((p - happened) ** 2)
        else:
            new.p += predicted
            new.y += [place == chosen for place in range(len(predicted))]
            new.losses.append((sum(p * p for p in predicted) - 2 * predicted[chosen] + 1) / 2)

    def add_row(self, heads: Sequence[str], predicted: Floats, labels: Floats, moment: Moment) -> None:
        """Take in one item: the probability of each of these heads and 0, 1 or nan (not known), shape (n_heads,); always the same heads."""
        self._row_heads = heads
        self._rows.append((predicted, labels, moment))

    def _spread(self) -> None:
        """Give the rows to their heads, a column at a time."""
        if not self._rows:
            return
        p, y = np.array([one[0] for one in self._rows]), np.array([one[1] for one in self._rows])
        moments = [one[2] for one in self._rows]
        losses, known = (p - y) ** 2, ~np.isnan(y)
        for place, head in enumerate(self._row_heads):
            there, new = known[:, place], self._new[head]
            if there.any():
                new.p += p[there, place].tolist()
                new.y += (y[there, place] > 0).tolist()
                new.losses += losses[there, place].tolist()
                new.moments += moments if there.all() else [moments[one] for one in np.flatnonzero(there).tolist()]
        self._rows = []

    def settle(self) -> list[DriftAlarm]:
        """Take what was added into account, all of it at once; return the changes that show, in the order of their moments."""
        self._spread()
        found: list[tuple[Moment, str, float, float]] = []
        for head, new in self._new.items():
            if not new.p:
                continue
            self._windows[head].add_many(new.p, new.y)
            if head in self._changes:
                found += [(new.moments[place], head, before, after) for place, before, after in self._changes[head].add(new.losses)]
            self._new[head] = _New()
        return [self._alarm(*one) for one in sorted(found, key=lambda one: one[0][0])]

    def _alarm(self, moment: Moment, head: str, before: float, after: float) -> DriftAlarm:
        examples, at_ms = moment
        self.risen.pop(head, None)
        if after > before:
            self.risen[head] = at_ms
        return DriftAlarm(model=self.model, head=head, detector=self.detector, at_ms=at_ms, examples=examples, before=before, after=after)

    def metrics(self, as_of_ms: int) -> list[LearningMetrics]:
        """Return the metrics of each head that was predicted."""
        return [
            LearningMetrics(
                model=self.model,
                head=head,
                as_of_ms=as_of_ms,
                window=len(window),
                examples=window.seen,
                positives=window.positives,
                auc=window.auc,
                log_loss=window.log_loss,
                calibration=window.calibration if window.positives else 0.0,
            )
            for head, window in self._windows.items()
            if window.seen
        ]

    def dump(self) -> dict[str, Any]:
        """Return all that was seen, as plain data."""
        return {
            "windows": {head: window.dump() for head, window in self._windows.items()},
            "changes": {head: change.dump() for head, change in self._changes.items()},
            "risen": dict(self.risen),
        }

    def load(self, seen: dict[str, Any]) -> None:
        """Take back what `dump` returned; a snapshot of before there were detectors has windows only."""
        for head, window in seen["windows"].items():
            self._windows[head].load(window)
        for head, change in seen.get("changes", {}).items():
            if head in self._changes:
                self._changes[head].load(change)
        self.risen = dict(seen.get("risen", {})) if self._changes else {}
