"""A small world for the tests of the feed: side records, people, and tables made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.feed import Answer, FeedEngine
from operators.index.exact import ExactSegment
from operators.profiles.seen import hashes, positions
from operators.query import Query, Rows, query
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.reranking import SpacedPage
from operators.stages import Filter, Selection
from operators.tables.segments import IndexSegment
from operators.tables.side import SideTables
from operators.windows.decay import N_DECAYED
from schemas.base import Message
from schemas.catalog import CatalogItem, ItemVector, SegmentAnnounced
from schemas.codec import encode, pack
from schemas.features import Decayed, EntityCounters, Neighbours, Pane, ServedPage, TagInterest, Taken, TrendingList, UserState
from schemas.feed import DEFAULT_AGE, FeedRequest, ReadState
from schemas.keys import SEEN_BITS
from schemas.telemetry import Context

NOW_MS = 1_700_000_000_000
MINUTE = NOW_MS // 60_000
DAY_MS = 86_400_000
SECRET = b"0123456789abcdef"
REQUEST = FeedRequest(user_id="u", limit=20, context=Context(surface="1", region="DE"))

Record = tuple[str, str, bytes | None]


def record(topic: str, key: str, message: Message | None) -> Record:
    """One side record."""
    return topic, key, None if message is None else encode(message)


def item(video_id: str, **fields: object) -> Record:
    """A catalogue record."""
    return record("catalog.items", video_id, CatalogItem(video_id=video_id, **fields))  # type: ignore[arg-type]


def vector(video_id: str, *values: int, simhash: int = 0, dim: int = 64) -> Record:
    """A vector record, zeros after `values`."""
    data = np.zeros(dim, dtype=np.int8)
    data[: len(values)] = values
    return record("catalog.vectors", video_id, ItemVector(video_id=video_id, vector=data.tobytes(), simhash=simhash, catalog_offset=0))


def neighbours(video_id: str, found: dict[str, float]) -> Record:
    """A neighbours record."""
    message = Neighbours(video_id=video_id, as_of_ms=NOW_MS, video_ids=list(found), weights=list(found.values()))
    return record("features.neighbours", video_id, message)


def trending(scope: str, video_ids: Sequence[str]) -> Record:
    """A trending record, best first."""
    scores = [float(len(video_ids) - i) for i in range(len(video_ids))]
    message = TrendingList(scope=scope, as_of_ms=NOW_MS, half_life_ms=DAY_MS, video_ids=list(video_ids), scores=scores)
    return record("features.trending", scope, message)


def counters(
    name: str,
    *,
    kind: str = "video",
    total: int = 0,
    decayed: float = 0.0,
    panes: Iterable[Pane] = (),
    surfaces: dict[str, float] | None = None,
) -> Record:
    """A counters record in which all totals, and all decayed sums, are the same."""
    message = EntityCounters(
        kind=kind,  # type: ignore[arg-type]
        id=name,
        version=1,
        updated_ms=NOW_MS,
        totals=[total] * 14,
        panes=list(panes),
        decayed=Decayed(at_ms=NOW_MS, values=[decayed] * N_DECAYED),
        surfaces=surfaces or {},
    )
    return record("features.items", f"{kind}:{name}", message)


def rich_world(n: int = 120, *, seed: int = 0) -> list[Record]:
    """Every kind of side record for `n` videos."""
    rng = np.random.default_rng(seed)
    ids = [f"v{i}" for i in range(n)]
    records: list[Record] = []
    for i, video_id in enumerate(ids):
        category = f"k{i % 7}"
        records.append(
            item(
                video_id,
                creator_id=f"c{i % 31}",
                audio_id=f"a{i % 29}",
                title=f"video {i}",
                tags=(category, f"t{i % 5}"),
                category=category,
                duration_ms=5_000 + 100 * i,
                uploaded_ms=NOW_MS - int(rng.integers(1, 200)) * 3_600_000,
            )
        )
        records.append(vector(video_id, *rng.integers(-127, 127, size=64).tolist(), simhash=int(rng.integers(1, 1 << 62))))
        panes = [Pane(minute=MINUTE - age, counts=[int(x) for x in rng.integers(0, 9, size=14)]) for age in (20, 4, 0)]
        surfaces = {"1": float(rng.random() * 9), "0": float(rng.random())}
        records.append(
            counters(video_id, total=int(rng.integers(0, 2_000)), decayed=float(rng.random() * 50), panes=panes, surfaces=surfaces)
        )
        others = rng.choice(ids, size=12, replace=False).tolist()
        records.append(neighbours(video_id, dict(zip(others, np.sort(rng.random(12))[::-1].round(4).tolist(), strict=True))))
    records += [counters(f"c{i}", kind="creator", total=40 + i) for i in range(31)]
    records += [counters(f"k{i}", kind="tag", total=300 + i) for i in range(7)]
    records += [trending("global", ids[10:40]), trending("region:DE", ids[20:50]), trending("category:k3", ids[3::7])]
    return records


def tables(records: Iterable[Record]) -> SideTables:
    """Side tables made of records, each topic numbered from 0."""
    made = SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE)
    feed(made, records)
    return made


def feed(made: SideTables, records: Iterable[Record]) -> None:
    """Apply records after what the tables hold."""
    for topic, key, value in records:
        made.apply(topic, 0, made.offsets.get(f"{topic}/0", 0), key.encode(), value)


def install_segment(made: SideTables, video_ids: Sequence[str], *, vectors_offset: int) -> None:
    """Put an exact segment of some videos' present vectors in use."""
    ids = sorted(video_ids)
    rows = [made.videos.find(video_id) for video_id in ids]
    announced = SegmentAnnounced(
        segment_id="s1",
        kind="exact",
        path="s1",
        sha256="",
        dim=64,
        count=len(ids),
        built_ms=NOW_MS,
        vectors_offset=vectors_offset,
    )
    made.view(IndexSegment).install(announced, ExactSegment(ids, made.vectors.matrix.values[rows].astype(np.int8)))


def taken(video_ids: Iterable[str]) -> list[Taken]:
    """Videos taken to, newest last."""
    return [Taken(video_id=video_id, weight=1.0, at_ms=NOW_MS - 1_000) for video_id in video_ids]


def state(**fields: object) -> UserState:
    """A person's state, empty but for `fields`."""
    plain: dict[str, object] = {
        "user_id": "u",
        "version": 1,
        "updated_ms": NOW_MS,
        "totals": [0] * 14,
        "panes": [],
        "tags": {},
        "positives": [],
        "recent": [],
        "hidden_videos": [],
        "hidden_creators": [],
        "followed_creators": [],
    }
    return UserState(**(plain | fields))  # type: ignore[arg-type]


def rich_person() -> UserState:
    """Somebody with tastes."""
    return state(
        positives=taken(["v3", "v10", "v17", "v24"]),
        recent=taken([f"v{i}" for i in range(0, 40, 3)]),
        tags={"k3": TagInterest(2.0, NOW_MS - DAY_MS, [3] * 14)},
        hidden_videos=["v5"],
        hidden_creators=["c6"],
        followed_creators=["c7"],
    )


def seen_bitmap(video_ids: Iterable[str]) -> bytes:
    """A Bloom bitmap that holds the videos."""
    bitmap = bytearray(SEEN_BITS // 8)
    for bit in positions(hashes(list(video_ids))).ravel().tolist():
        bitmap[bit // 8] |= 128 >> bit % 8
    return bytes(bitmap)


def page(video_ids: Sequence[str], *, request_id: str = "earlier", at_ms: int = NOW_MS - 60_000, simhashes: Sequence[int] = ()) -> bytes:
    """A page that was served."""
    return pack(ServedPage(request_id=request_id, at_ms=at_ms, video_ids=list(video_ids), simhashes=list(simhashes)))


def read(person: UserState | None = None, *, seen: Iterable[str] = (), pages: Sequence[bytes] = (), available: bool = True) -> ReadState:
    """What the store says of a person."""
    return ReadState(
        available=available, state=None if person is None else pack(person), seen={"3934": seen_bitmap(seen)}, pages=list(pages)
    )


def ask(
    made: SideTables,
    person: UserState | None = None,
    *,
    request_id: str = "r1",
    seed: int = 0,
    context: Context | None = None,
    cursor: str | None = None,
    default_age: int = DEFAULT_AGE,
    **known: object,
) -> Query:
    """A query."""
    request = FeedRequest(user_id="u", context=context, cursor=cursor)
    return query(
        tables=made,
        request=request,
        request_id=request_id,
        now_ms=NOW_MS,
        read=read(person, **known),  # type: ignore[arg-type]
        seed=seed,
        default_age=default_age,
    )


class FailingFilter(Filter):
    """A filter that fails."""

    def __init__(self, name: str) -> None:
        self.name = name

    def removed(self, query: Query, rows: Rows) -> NDArray[np.bool_]:
        raise RuntimeError


class FailingPage(SpacedPage):
    """A selector that fails."""

    def select(self, query: Query, ranked: Rows, explorable: NDArray[np.bool_], limit: int, relaxed: Collection[str] = ()) -> Selection:
        raise RuntimeError


def engine(made: SideTables) -> FeedEngine:
    """An engine with the feed's own pipeline."""
    return FeedEngine(tables=made, secret=SECRET, seed=0, worker="test")


def answer(
    made: SideTables, known: ReadState, *, request: FeedRequest = REQUEST, request_id: str = "r1", skip: Sequence[str] = ()
) -> Answer:
    """An answer."""
    return engine(made).answer(
        request=request, raw=encode(request), request_id=request_id, read=known, now_ms=NOW_MS, sequence=1, skip=skip
    )


def shown(got: Answer) -> list[str]:
    """The videos of an answer."""
    return [one.video_id for one in got.response.items]


def names(made: SideTables, rows: Iterable[int]) -> list[str]:
    """Ids of rows."""
    return [made.videos.ids[row] for row in rows]
