"""Says when the loss of a model changed: one of river's drift detectors on one stream of losses."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from river import base, drift
from river.__version__ import __version__ as VERSION

DETECTORS: Mapping[str, type[base.DriftDetector]] = {"ADWIN": drift.ADWIN, "PageHinkley": drift.PageHinkley}
"""The detectors that can be named; all of them say the same of the same losses."""


class LossChange:
    """A drift detector on the losses of one head, with the mean loss before and after each change.

    It takes no part in learning. What it says depends on the losses and their order only, over restarts too. The snapshot holds the
    detector as a pickle, since its inside is river's own; that of another river or another detector is left, and it begins anew.

    Parameters
    ----------
    detector
        One of `DETECTORS`. ADWIN compares the halves of a window that shrinks when they differ, in O(log n) memory; PageHinkley sums up
        how far losses are from their mean, in O(1).
    params
        The detector's own parameters, as in river's documentation.
    recent
        Losses that the mean after a change is taken over, 1 or more.

    Raises
    ------
    ValueError
        If there is no such detector, or it does not take these parameters.

    Examples
    --------
    >>> change = LossChange(detector="ADWIN", params={"delta": 0.002}, recent=50)
    >>> change.add([0.1] * 200 + [0.9] * 200)
    [(223, 0.1, 0.484)]

    References
    ----------
    Bifet, Gavaldà: Learning from time-changing data with adaptive windowing. SDM 2007. Page: Continuous inspection schemes. Biometrika 41
    (1954).
    """

    def __init__(self, *, detector: str, params: Mapping[str, Any] | None = None, recent: int = 200) -> None:
        if detector not in DETECTORS:
            message = f"expected one of {', '.join(DETECTORS)}, got {detector!r}, at detector"
            raise ValueError(message)
        if recent < 1:
            message = f"expected 1 or more, got {recent}, at recent"
            raise ValueError(message)
        self.detector = detector
        self.params = dict(params or {})
        self.recent = recent
        try:
            self._detector = DETECTORS[detector](**self.params)
        except TypeError as error:
            message = f"expected parameters of river's {detector}, got {self.params}, at params: {error}"
            raise ValueError(message) from None
        self._seen: list[float] = []
        self._sum = 0.0
        self._n = 0

    def add(self, losses: Sequence[float]) -> list[tuple[int, float, float]]:
        """Take in losses in their order; return the place of each that showed a change, and the mean loss before and after."""
        found = []
        detector, seen = self._detector, self._seen
        for place, loss in enumerate(losses):
            detector.update(loss)
            seen.append(loss)
            if detector.drift_detected:
                found.append((place, *self._means()))
                seen.clear()
                self._sum, self._n = 0.0, 0
        if len(seen) > 2 * self.recent:
            self._forget()
        return found

    def _forget(self) -> None:
        """Keep of all but the newest losses their sum only; it is the same sum however often this is done."""
        old = self._seen[: -self.recent]
        del self._seen[: -self.recent]
        for loss in old:
            self._sum += loss
        self._n += len(old)

    def _means(self) -> tuple[float, float]:
        self._forget()
        after = sum(self._seen) / len(self._seen)
        before = self._sum / self._n if self._n else after
        return round(before, 6), round(after, 6)

    def dump(self) -> dict[str, Any]:
        """Return what was seen, as plain data."""
        self._forget()
        return {
            "of": self._of(),
            "detector": pickle.dumps(self._detector),
            "recent": np.array(self._seen, dtype=np.float64).tobytes(),
            "sum": self._sum,
            "n": self._n,
        }

    def load(self, seen: dict[str, Any]) -> None:
        """Take back what `dump` returned."""
        if seen["of"] != self._of():
            return
        self._detector = pickle.loads(seen["detector"])
        self._seen = np.frombuffer(seen["recent"]).tolist()
        self._sum, self._n = seen["sum"], seen["n"]

    def _of(self) -> str:
        return f"{VERSION} {self.detector} {self.params} {self.recent}"
