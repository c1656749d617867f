"""Served pages as the label join keeps them: a small index in state, the bulk in a store beside it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.base import Message
from schemas.codec import DecodeError, decode
from schemas.feed import FeedRequest, ServedItem

Place = tuple[int, int, int]
NOWHERE: Place = (-1, 0, 0)


class ServedPart(Message, frozen=True, kw_only=True):
    """The fields of a `ServedRecord` that a label needs; decodes from the same bytes and skips the rest."""

    request_id: str
    user_id: str
    now_ms: int
    shadow: bool = False
    items: list[ServedItem]
    model_versions: dict[str, str]
    feature_set: str
    features: bytes
    request: bytes


class PageBulk(msgspec.Struct, frozen=True, array_like=True):
    """What an example copies from its page: msgpack in the store.

    `features` is float32 of shape (n_features, n_items), `propensities` has n_items entries.
    """

    feature_set: str
    model_versions: dict[str, str]
    propensities: list[float]
    features: bytes

    def row(self, position: int) -> bytes:
        """Return the features of one item: float32 of shape (n_features,)."""
        table: NDArray[np.float32] = np.frombuffer(self.features, dtype=np.float32).reshape(-1, len(self.propensities))
        return np.ascontiguousarray(table[:, position]).tobytes()


class HeldPage(msgspec.Struct, array_like=True):
    """The index entry of one served page.

    Parameters
    ----------
    user_id, request_id, now_ms, shadow
        As served.
    stamp_ms
        When the record came, on the clock of its topic.
    surface
        Where the person was, as far as the request said.
    ids
        The video ids in the order shown, each between two newlines.
    place
        Where the bulk stands in the store.
    closed
        Per video whose example is out: the bits of the outcomes that went into it.
    """

    user_id: str
    request_id: str
    now_ms: int
    shadow: bool
    stamp_ms: int
    surface: str | None
    ids: str
    place: Place
    closed: dict[str, int] = {}

    def holds(self, video_id: str) -> bool:
        """Return whether the page shows the video."""
        return f"\n{video_id}\n" in self.ids

    def video_ids(self) -> list[str]:
        """Return the ids in the order shown."""
        return self.ids[1:-1].split("\n") if len(self.ids) > 1 else []


def held(record: ServedPart, stamp_ms: int) -> HeldPage:
    """Return the index entry of a page whose bulk is in no store yet."""
    return HeldPage(
        user_id=record.user_id,
        request_id=record.request_id,
        now_ms=record.now_ms,
        shadow=record.shadow,
        stamp_ms=stamp_ms,
        surface=_surface(record.request),
        ids="\n" + "".join(f"{item.video_id}\n" for item in record.items),
        place=NOWHERE,
    )


def _surface(request: bytes) -> str | None:
    try:
        context = decode(FeedRequest, request).context
    except DecodeError:
        return None
    return None if context is None else context.surface


class PageStore(Protocol):
    """Keeps the bulk of pages outside of state: bounded, the oldest go first."""

    def put(self, data: bytes) -> Place:
        """Keep bytes; return where."""

    def get(self, place: Place) -> bytes | None:
        """Return the bytes, or None where they are gone."""


class MemoryPages:
    """A page store in memory, for tests, replays and backtests; a page's place depends on its bytes alone.

    Parameters
    ----------
    max_pages
        Pages kept; the oldest go first.

    Examples
    --------
    >>> pages = MemoryPages(max_pages=1)
    >>> first, second = pages.put(b"a"), pages.put(b"b")
    >>> pages.get(first), pages.get(second)
    (None, b'b')
    """

    def __init__(self, *, max_pages: int = 100_000) -> None:
        self.max_pages = max_pages
        self._kept: dict[Place, bytes] = {}

    def put(self, data: bytes) -> Place:
        """Keep bytes; return where."""
        place = (0, int.from_bytes(blake2b(data, digest_size=7).digest(), "big"), len(data))
        self._kept[place] = data
        if len(self._kept) > self.max_pages:
            del self._kept[next(iter(self._kept))]
        return place

    def get(self, place: Place) -> bytes | None:
        """Return the bytes, or None where they are gone."""
        return self._kept.get(place)
