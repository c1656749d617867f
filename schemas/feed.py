"""The feed: request, response, and the lineage record from which an answer can be reproduced."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from schemas.base import Message
from schemas.learning import MAX_HEADS
from schemas.telemetry import ClaimedMs, Context, Id, Name

MAX_LIMIT = 100
DEFAULT_AGE = 17
"""Age in years of people of whom no age is known; 21 shows everything."""


class Level(StrEnum):
    """How far an answer had to step down, best first; an answer with `error` is no feed at all."""

    FULL = "full"
    ONLINE_MODEL = "online_model"
    CF_CACHE = "cf_cache"
    USER_CACHE = "user_cache"
    REGIONAL_TRENDING = "regional_trending"
    GLOBAL_POPULAR = "global_popular"
    NOTHING_ALLOWED = "nothing_allowed"
    EMPTY_CATALOGUE = "empty_catalogue"
    ERROR = "error"


class FeedRequest(Message, frozen=True, kw_only=True):
    """A request on `feed.requests` (key: user_id); only `user_id` is required.

    `ts_ms` is the "now" of the answer (default: the broker's stamp of the request). `cursor` is the `next_cursor` of an answer: the same
    cursor gives the same page again. A `shadow` request is answered but not shown to
    anybody: nothing is marked as served.
    """

    TYPE: ClassVar[str] = "penstock.feed.request"

    user_id: Id
    request_id: Id | None = None
    device_id: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 20
    ts_ms: ClaimedMs | None = None
    cursor: Annotated[str, Meta(max_length=128)] | None = None
    context: Context | None = None
    shadow: bool = False


class FeedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One video of an answer."""

    video_id: str
    title: str
    video_url: str | None
    thumbnail_url: str | None
    prefetch_url: str | None
    creator_id: str | None
    score: float
    source: str
    recommendation_reason: str
    tracking_token: str
    ad_tracking_token: str | None = None
    duration_ms: int | None = None
    tags: tuple[str, ...] = ()
    category: str | None = None
    language: str | None = None
    fields: dict[str, str | int | float | bool] = {}


class RequestError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request could not be taken."""

    code: str
    expected: str
    got: str
    path: str
    do: str


class FeedResponse(Message, frozen=True, kw_only=True):
    """An answer on `feed.responses` (key: request_id). All but `latency_ms` is reproduced byte for byte by a replay.

    `relaxed` names the rules that gave way, in their order, so that there was something to show; `exhausted` says that the person had seen
    everything there is, and old videos come again.
    """

    TYPE: ClassVar[str] = "penstock.feed.response"

    request_id: str
    user_id: str
    now_ms: int
    items: list[FeedItem]
    degradation_level: Level
    next_cursor: str | None = None
    model_versions: dict[str, str] = {}
    experiment_arms: dict[str, str] = {}
    error: RequestError | None = None
    relaxed: tuple[str, ...] = ()
    exhausted: bool = False
    latency_ms: dict[str, float] = {}


class CandidateTable(msgspec.Struct, frozen=True, kw_only=True):
    """Every candidate of an answer, column by column, n rows in retrieval order.

    `video_ids`: the n ids joined by newlines. `sources`: uint16, bit i = source i of ServedRecord.sources. `dropped`: uint8, 0 = kept, i =
    reason i - 1 of ServedRecord.reasons. `scores`: float32, NaN where never ranked.
    """

    video_ids: str
    sources: bytes
    dropped: bytes
    scores: bytes


class ServedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the answer: its place, its place in the ranker's order, propensity of being at this place."""

    video_id: str
    rank: int
    source: str
    score: float
    propensity: float
    explored: bool = False


class ReadState(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of the person from Redis, as it stood there: state (msgpack UserState), seen bitmaps by generation, served pages.

    `available` is False where Redis did not answer.
    """

    available: bool = True
    state: bytes | None = None
    seen: dict[str, bytes] = {}
    pages: list[bytes] = []


class ServedRecord(Message, frozen=True, kw_only=True):
    """Lineage of one answer on `feed.served` (key: user_id): all that the answer depended on, and what became of each candidate.

    `offsets` is, per side topic (`topic/partition`), the next offset not yet applied when the answer was made. `features` is
    float32 of shape (n_features, n_items), in the order of `items`. `heads` names what the ranker predicts, at most 32, and `head_scores`
    is the probability of each for each item, float32 of shape (n_heads, n_items); both are empty where no ranker with heads decided.
    `skipped` names stages that did not take part though they should have: sources, rules, "features", "rank", "rerank", and "last_resort"
    for the look through the whole catalogue; a rule of safety that is named there took out everything.
    `lost` names the fields that were emptied because the record would not have fitted its topic (`read`, then `candidates`): such an
    answer cannot be reproduced.
    """

    TYPE: ClassVar[str] = "penstock.feed.served"

    request_id: str
    attempt: int = 1
    user_id: str
    worker: str
    sequence: int
    now_ms: int
    request: bytes
    read: ReadState
    offsets: dict[str, int]
    segment_id: str | None
    model_versions: dict[str, str]
    experiment_arms: dict[str, str] = {}
    seed: int
    default_age: int = DEFAULT_AGE
    level: Level
    shadow: bool = False
    skipped: list[str] = []
    relaxed: list[str] = []
    sources: list[str]
    reasons: list[str]
    candidates: CandidateTable
    ranked: list[str]
    items: list[ServedItem]
    feature_set: str
    features: bytes
    heads: Annotated[list[Name], Meta(max_length=MAX_HEADS)] = []
    head_scores: Annotated[bytes, Meta(max_length=4 * MAX_HEADS * MAX_LIMIT)] = b""
    response_sha256: str
    latency_ms: dict[str, float] = {}
    lost: list[str] = []

    def head_table(self) -> list[dict[str, float]]:
        """Return the probability of each head, by its name, for each item; nothing where they are not as many as they should be."""
        n = len(self.items)
        if len(self.head_scores) != 4 * len(self.heads) * n:
            return []
        values = memoryview(self.head_scores).cast("f").tolist()
        return [{head: values[h * n + i] for h, head in enumerate(self.heads)} for i in range(n)]

    def candidate_counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many candidates each source found, and how many were dropped for each reason."""
        masks = memoryview(self.candidates.sources).cast("H").tolist()
        found = {name: sum(mask >> bit & 1 for mask in masks) for bit, name in enumerate(self.sources)}
        dropped = {reason: self.candidates.dropped.count(number) for number, reason in enumerate(self.reasons, 1)}
        return found, {reason: n for reason, n in dropped.items() if n}
