"""Makes queries for the contract checks of stages: people and strangers in a rich world, in an eventless one and in an empty one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.random import Generator

from operators.query import Query, query
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.side import SideTables
from operators.windows.decay import N_DECAYED
from schemas.base import Message
from schemas.catalog import CatalogItem, ItemVector, Moderation
from schemas.codec import encode, pack
from schemas.features import (
    N_COUNTERS,
    Decayed,
    EntityCounters,
    Neighbours,
    Pane,
    ServedPage,
    TagInterest,
    Taken,
    TrendingList,
    UserState,
)
from schemas.feed import FeedRequest, ReadState
from schemas.keys import SEEN_BITS
from schemas.telemetry import Context

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
CONTEXT = Context(surface="1", region="DE", language="de")

_Record = tuple[str, str, Message | None]


def example_queries() -> Iterator[Query]:
    """Yield queries over every kind of side record: of somebody known, of somebody new, of a page that is asked for again."""
    for records in (rich_records(60), [_item(i) for i in range(20)], []):
        tables = _tables(records)
        for state, cursor in ((_somebody(), None), (_somebody(), "c"), (None, None)):
            yield _asked(tables, state, cursor)


def rich_records(n: int) -> list[_Record]:
    """Return every kind of side record for `n` videos, some of them deleted, blocked or without an upsert."""
    rng = np.random.default_rng(1)
    ids = [f"v{i}" for i in range(n)]
    records: list[_Record] = [_item(i) for i in range(n)]
    for i, video_id in enumerate(ids):
        vector = rng.integers(-127, 128, size=64).astype(np.int8).tobytes()
        simhash = int(rng.integers(1, 1 << 62))
        records.append(("catalog.vectors", video_id, ItemVector(video_id=video_id, vector=vector, simhash=simhash, catalog_offset=i)))
        records.append(_counters("video", video_id, rng))
        others = rng.choice([*ids, "unlisted"], size=8, replace=False).tolist()
        weights = np.linspace(0.9, 0.1, 8).tolist()
        records.append(("features.neighbours", video_id, Neighbours(video_id=video_id, as_of_ms=NOW_MS, video_ids=others, weights=weights)))
    records += [_counters("creator", f"c{i}", rng) for i in range(9)]
    records += [_counters("tag", f"k{i}", rng) for i in range(5)]
    for scope, some in (("global", ids[5:25]), ("region:DE", ids[15:35]), ("category:k3", ids[3::5])):
        scores = np.linspace(9.0, 1.0, len(some)).tolist()
        listed = TrendingList(scope=scope, as_of_ms=NOW_MS, half_life_ms=DAY_MS, video_ids=some, scores=scores)
        records.append(("features.trending", scope, listed))
    for kind, name in (("creator", "c3"), ("video", ids[7])):
        records.append(("control.moderation", f"{kind}:{name}", Moderation(kind=kind, id=name, blocked=True, at_ms=NOW_MS)))  # type: ignore[arg-type]
    return [*records, ("catalog.items", ids[11], None), ("catalog.vectors", ids[12], None)]


def _item(i: int) -> _Record:
    """Return a video; some are to come, expired, rated, or for another region or language."""
    item = CatalogItem(
        video_id=f"v{i}",
        creator_id=f"c{i % 9}",
        audio_id=f"a{i % 11}",
        title=f"video {i}" if i % 4 else "",
        tags=(f"k{i % 5}", f"t{i % 3}"),
        category=f"k{i % 5}" if i % 13 else None,
        duration_ms=4_000 + 100 * i if i % 6 else None,
        uploaded_ms=NOW_MS + (DAY_MS if i % 17 == 0 else -i * DAY_MS // 4),
        expires_ms=NOW_MS - 1 if i % 19 == 5 else None,
        age_rating=18 if i % 10 == 9 else 0,
        region="FR" if i % 8 == 7 else None,
        language="fr" if i % 12 == 1 else None,
    )
    return "catalog.items", item.video_id, item


def _counters(kind: str, name: str, rng: Generator) -> _Record:
    panes = [Pane(minute=NOW_MS // 60_000 - age, counts=rng.integers(0, 9, size=N_COUNTERS).tolist()) for age in (20, 4, 0)]
    counters = EntityCounters(
        kind=kind,  # type: ignore[arg-type]
        id=name,
        version=1,
        updated_ms=NOW_MS,
        totals=rng.integers(0, 2_000, size=N_COUNTERS).tolist(),
        panes=panes if kind == "video" else [],
        decayed=Decayed(at_ms=NOW_MS, values=(50 * rng.random(N_DECAYED)).tolist()),
        surfaces={"1": float(rng.random()), "0": float(rng.random())} if kind == "video" else {},
    )
    return "features.items", f"{kind}:{name}", counters


def _tables(records: Iterable[_Record]) -> SideTables:
    tables = SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE)
    for topic, key, message in records:
        value = None if message is None else encode(message)
        tables.apply(topic, 0, tables.offsets.get(f"{topic}/0", 0), key.encode(), value)
    return tables


def _asked(tables: SideTables, state: UserState | None, cursor: str | None) -> Query:
    pages = [
        ServedPage(request_id="first", at_ms=NOW_MS - 60_000, video_ids=["v4", "v7", "v8"], simhashes=[4, 7, 8]),
        ServedPage(request_id="second", at_ms=NOW_MS - 30_000, video_ids=["v9", "v1"], simhashes=[9, 1], after="c"),
    ]
    read = ReadState(
        state=None if state is None else pack(state),
        seen={} if state is None else {"1": bytes([0b0111_1011]) * (SEEN_BITS // 8)},
        pages=[] if state is None else [pack(page) for page in pages],
    )
    request = FeedRequest(user_id="u", cursor=cursor, context=None if state is None else CONTEXT)
    return query(tables=tables, request=request, request_id="r", now_ms=NOW_MS, read=read, seed=5)


def _somebody() -> UserState:
    def taken(video_ids: Iterable[str], weight: float = 1.0) -> list[Taken]:
        return [Taken(video_id=one, weight=weight, at_ms=NOW_MS - 1_000) for one in video_ids]

    return UserState(
        user_id="u",
        version=1,
        updated_ms=NOW_MS,
        totals=[3] * N_COUNTERS,
        panes=[Pane(minute=NOW_MS // 60_000, counts=[1] * N_COUNTERS)],
        tags={"k3": TagInterest(2.0, NOW_MS - DAY_MS, [3] * N_COUNTERS)},
        positives=taken(["v3", "v8", "v13", "gone"]),
        recent=[*taken(["v2", "v5"], 0.0), *taken([f"v{i}" for i in range(3, 30, 5)], 0.8)],
        hidden_videos=["v5"],
        hidden_creators=["c6"],
        followed_creators=["c7", "nobody"],
    )
