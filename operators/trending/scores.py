"""Exponentially decayed scores by video that need no tick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

_FAR = 500.0


class Scores:
    """One scope's scores, s(now) = Σ w · 2^(-(now - t) / half_life), kept relative to a landmark instant.

    Forward decay: what is stored is Σ w · 2^((t - landmark) / half_life). Its order is the order of the decayed scores at any instant, so
    nothing is touched when time passes. When events are 500 half-lives past the landmark, all scores are moved to a new one.

    Parameters
    ----------
    half_life_ms
        Time in which a score halves.
    most
        Videos kept; beyond it the lower quarter is dropped.

    References
    ----------
    Cormode et al., "Forward decay: a practical time decay model for streaming systems", ICDE 2009.
    """

    __slots__ = ("_by_video", "half_life_ms", "landmark_ms", "most", "newest_ms")

    def __init__(self, *, half_life_ms: int, most: int) -> None:
        self.half_life_ms = half_life_ms
        self.most = most
        self.landmark_ms = 0
        self.newest_ms = -1
        self._by_video: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._by_video)

    def add(self, video_id: str, weight: float, at_ms: int) -> None:
        """Add a weight at an instant; instants may come in any order."""
        if self.newest_ms < 0:
            self.landmark_ms = at_ms
        self.newest_ms = max(self.newest_ms, at_ms)
        age = (at_ms - self.landmark_ms) / self.half_life_ms
        if age > _FAR:
            self._move_landmark(at_ms)
            age = 0.0
        added = weight * 2.0 ** max(age, -2 * _FAR)
        self._by_video[video_id] = self._by_video.get(video_id, 0.0) + added
        if len(self._by_video) > self.most:
            self._drop_lowest()

    def top(self, n: int) -> tuple[list[str], list[float]]:
        """Return the n best videos and their scores as of the newest event, best first, ties by id; none that is not above zero."""
        values = self._values()
        least = np.partition(values, len(values) - n)[len(values) - n] if n < len(values) else 0.0
        best = sorted((-value, video_id) for video_id, value in self._by_video.items() if value >= least and value > 0)[:n]
        scale = 2.0 ** (-(self.newest_ms - self.landmark_ms) / self.half_life_ms)
        return [video_id for _, video_id in best], [-value * scale for value, _ in best]

    def pack(self) -> bytes:
        """Return the state as bytes."""
        fields = (self.landmark_ms, self.newest_ms, list(self._by_video), self._values().tobytes())
        return msgspec.msgpack.encode(fields)

    def unpack(self, state: bytes) -> None:
        """Take back what `pack` returned."""
        fields: tuple[int, int, list[str], bytes] = msgspec.msgpack.decode(state, type=tuple[int, int, list[str], bytes])
        self.landmark_ms, self.newest_ms, ids, values = fields
        self._by_video = dict(zip(ids, np.frombuffer(values).tolist(), strict=True))

    def _values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.fromiter(self._by_video.values(), dtype=np.float64, count=len(self._by_video))

    def _move_landmark(self, at_ms: int) -> None:
        age = (at_ms - self.landmark_ms) / self.half_life_ms
        factor = 2.0**-age if age < 2 * _FAR else 0.0
        moved = {video_id: value * factor for video_id, value in self._by_video.items()}
        self._by_video = {video_id: value for video_id, value in moved.items() if value}
        self.landmark_ms = at_ms

    def _drop_lowest(self) -> None:
        kept = sorted(self._by_video, key=lambda video_id: (-self._by_video[video_id], video_id))[: self.most * 3 // 4]
        self._by_video = {video_id: self._by_video[video_id] for video_id in kept}


def split(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names and states that :func:`join` put together."""
    yield from msgspec.msgpack.decode(packed, type=list[tuple[str, bytes]])


def join(states: list[tuple[str, bytes]]) -> bytes:
    """Put named states together; empty when there is none."""
    return msgspec.msgpack.encode(states) if states else b""
