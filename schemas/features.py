"""Features: windowed counters, user state, trending lists, co-visitation neighbours.

Every counter is an integer, so sums do not depend on the order in which events came. A window is not stored as a number: the value
carries one-minute panes, and the reader takes the sliding window at its own "now".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from schemas.base import Message
from schemas.telemetry import ONE_LINE, EpochMs, Id

PANE_MS = 60_000
PANES = 30
MAX_SURFACES = 8
MAX_LISTED = 10_000
MAX_DECAYED = 64
MAX_SCOPE = 300
GLOBAL_SCOPE = "global"

Sum = Annotated[int, Meta(ge=-(2**53), le=2**53)]
"""A sum that a float holds exactly; what takes back may come before what it takes back."""
Weight = Annotated[float, Meta(ge=-1e300, le=1e300)]
ListedIds = Annotated[list[Id], Meta(max_length=MAX_LISTED)]
ListedWeights = Annotated[list[Weight], Meta(max_length=MAX_LISTED)]


class Counter(IntEnum):
    """The counters of every entity, and their place in a row."""

    IMPRESSIONS = 0
    CLICKS = 1
    LIKES = 2
    SHARES = 3
    COMMENTS = 4
    SAVES = 5
    FOLLOWS = 6
    SKIPS = 7
    FINISHES = 8
    LONG_VIEWS = 9
    NEGATIVES = 10
    WATCHES = 11
    WATCH_MS = 12
    COMPLETION_PERMILLE = 13


N_COUNTERS = len(Counter)
Sums = Annotated[list[Sum], Meta(min_length=N_COUNTERS, max_length=N_COUNTERS)]


class Pane(msgspec.Struct, frozen=True, array_like=True):
    """The counters of one minute; `minute` is epoch milliseconds // 60,000, `counts` has N_COUNTERS entries."""

    minute: Annotated[int, Meta(ge=0, lt=2**31)]
    counts: Sums


class Decayed(msgspec.Struct, frozen=True, array_like=True):
    """Exponentially decayed sums as of `at_ms`: value(now) = value · 2^(-(now - at_ms) / half_life)."""

    at_ms: EpochMs
    values: Annotated[list[Weight], Meta(max_length=MAX_DECAYED)]


class EntityCounters(Message, frozen=True, kw_only=True):
    """One video's, creator's or tag's counters on `features.items` (compacted; key: `video:ID` | `creator:ID` | `tag:NAME`).

    `totals` has N_COUNTERS entries; `panes` holds the non-empty ones of the last PANES minutes, oldest first; `decayed` the decayed sums
    of operators.windows.decay, flat; `surfaces` the impressions by surface, decayed (24 h), as of `decayed.at_ms` (at most
    MAX_SURFACES, the smallest folded into ""); `late` counts events older than every pane when they came (they are in `totals`).
    """

    TYPE: ClassVar[str] = "penstock.features.entity"

    kind: Literal["video", "creator", "tag"]
    id: Id
    version: int
    updated_ms: int
    totals: Sums
    panes: Annotated[list[Pane], Meta(max_length=PANES)] = []
    decayed: Decayed | None = None
    late: int = 0
    surfaces: Annotated[dict[str, Weight], Meta(max_length=MAX_SURFACES)] = {}

    @property
    def key(self) -> str:
        """The key of the record."""
        return f"{self.kind}:{self.id}"


class TagInterest(msgspec.Struct, frozen=True, array_like=True):
    """A person's interest in a tag: decayed weight as of `at_ms`, totals and panes of user×tag counters."""

    weight: float
    at_ms: int
    totals: list[int]
    panes: list[Pane] = []


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """A video that a person took to, how strongly (weight > 0), and when (0: before the stream, no event time)."""

    video_id: str
    weight: float
    at_ms: int


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """What a person's record on `users.records` says, in canonical form; None and empty are unknown. `age` holds as of `age_at_ms`."""

    birth_year: int | None = None
    region: str | None = None
    language: str | None = None
    device_type: str | None = None
    created_ms: int | None = None
    quiz: tuple[str, ...] = ()
    guest: bool = False
    age: int | None = None
    age_at_ms: int = 0


class UserState(Message, frozen=True, kw_only=True, array_like=True):
    """All that a feed request reads of a person: the value of the Redis key `user:state:{user_id}`, msgpack.

    `version` grows with every write (the sequence of the person's accepted events), so that an older write never replaces a newer one.
    Lists are bounded by the operator that writes them, newest last.
    """

    TYPE: ClassVar[str] = "penstock.features.user"
    VERSION: ClassVar[int] = 2

    user_id: str
    version: int
    updated_ms: int
    totals: list[int]
    panes: list[Pane]
    tags: dict[str, TagInterest]
    positives: list[Taken]
    recent: list[Taken]
    hidden_videos: list[str]
    hidden_creators: list[str]
    followed_creators: list[str]
    seen_count: int = 0
    late: int = 0
    profile: Profile | None = None


class ServedPage(Message, frozen=True, kw_only=True, array_like=True):
    """One page that was answered: an element of the Redis list `user:served:{user_id}`, msgpack. Repeats fold by request_id.

    `after` is the cursor that it was asked with, empty without one; `relaxed` the rules that gave way for it.
    """

    TYPE: ClassVar[str] = "penstock.feed.page"
    VERSION: ClassVar[int] = 2

    request_id: str
    at_ms: int
    video_ids: list[str]
    simhashes: list[int] = []
    after: str = ""
    relaxed: tuple[str, ...] = ()


class TrendingList(Message, frozen=True, kw_only=True):
    """The most taken-to videos of a scope, best first (`features.trending`, compacted; key: `global` | `region:XX` | `category:NAME`)."""

    TYPE: ClassVar[str] = "penstock.features.trending"

    scope: Annotated[str, Meta(min_length=1, max_length=MAX_SCOPE, pattern=ONE_LINE)]
    as_of_ms: int
    half_life_ms: int
    video_ids: ListedIds
    scores: ListedWeights


class Neighbours(Message, frozen=True, kw_only=True):
    """The videos most often taken to together with this one, best first (`features.neighbours`, compacted; key: video_id)."""

    TYPE: ClassVar[str] = "penstock.features.neighbours"

    video_id: Id
    as_of_ms: int
    video_ids: ListedIds
    weights: ListedWeights


def region_scope(region: str) -> str:
    """Return the scope of a region's trending list.

    >>> region_scope("DE")
    'region:DE'
    """
    return f"region:{region}"


def category_scope(category: str) -> str:
    """Return the scope of a category's trending list.

    >>> category_scope("cooking")
    'category:cooking'
    """
    return f"category:{category}"
