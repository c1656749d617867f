"""Puts together what was taken and what was passed over in the same answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.learning import LabelledExample

PASSED_OVER = "/not/"


def choice_of(example: LabelledExample) -> str | None:
    """Return the id of the example of what was taken instead, or None if this item itself was seen."""
    if example.labels != {"taken": 0}:
        return None
    taken, found, _ = example.example_id.rpartition(PASSED_OVER)
    return taken if found else None


def row_of(example: LabelledExample, n_features: int) -> NDArray[np.float32] | None:
    """Return the features of an example, shape (n_features,), or None if they are of another number or not finite."""
    if len(example.features) != 4 * n_features:
        return None
    row = np.frombuffer(example.features, dtype=np.float32)
    return row if np.isfinite(row).all() else None


class OpenChoices:
    """Keeps the rows of items passed over until the item taken comes; labels writes it last.

    Parameters
    ----------
    max_open
        Choices kept, 1 or more; the oldest goes first.
    """

    def __init__(self, *, max_open: int) -> None:
        self.max_open = max_open
        self._rows: dict[str, list[NDArray[np.float32]]] = {}

    def add(self, taken: str, row: NDArray[np.float32]) -> None:
        """Keep the row of an item passed over for `taken`."""
        self._rows.setdefault(taken, []).append(row)
        if len(self._rows) > self.max_open:
            del self._rows[next(iter(self._rows))]

    def take(self, taken: str) -> list[NDArray[np.float32]]:
        """Return the rows of what was passed over for `taken`, and keep them no longer."""
        return self._rows.pop(taken, [])

    def dump(self) -> dict[str, list[bytes]]:
        """Return the rows as plain data."""
        return {taken: [row.tobytes() for row in rows] for taken, rows in self._rows.items()}

    def load(self, rows: dict[str, list[bytes]]) -> None:
        """Take back what `dump` returned."""
        self._rows = {taken: [np.frombuffer(row, dtype=np.float32) for row in some] for taken, some in rows.items()}


def example(example_id: str, features: list[float], labels: dict[str, int], *, feature_set: str = "small") -> LabelledExample:
    """Return an example of a small feature set."""
    return LabelledExample(
        example_id=example_id,
        request_id=example_id.split("/", maxsplit=1)[0],
        user_id="u",
        video_id=example_id.rsplit("/", 1)[1],
        position=0,
        served_ms=1,
        outcome_ms=2,
        labels=labels,
        propensity=1.0,
        model_versions={},
        feature_set=feature_set,
        features=np.array(features, dtype=np.float32).tobytes(),
    )


def sample() -> list[LabelledExample]:
    """Return choices and views for the contract checks: with repeats, strangers and gaps."""
    rng = np.random.default_rng(5)
    out = []
    for n in range(12):
        a, b = (round(float(value), 2) for value in rng.normal(size=2))
        out += [
            example(f"r{n}/v{PASSED_OVER}w", [b, a], {"taken": 0}),
            example(f"r{n}/v{PASSED_OVER}x", [-b, 1.0], {"taken": 0}),
            example(f"r{n}/v", [a, b], {"click": n % 2, "like": 0, "taken": 1}),
            example(f"r{n}/z", [b, b], {"click": 0, "taken": 0}),
        ]
    strangers = [example("s/1", [1.0], {"click": 1}), example("s/2", [1.0, float("nan")], {"click": 1})]
    return [*out[:20], *out[10:], *strangers, example("s/3", [1.0, 2.0], {"click": 1}, feature_set="other")]
