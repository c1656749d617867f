"""A run of the feed without broker and store, written down as `penstock record` would: some workers, side topics that move meanwhile."""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from operators.chain import feed_pipeline
from operators.feed import FeedEngine
from operators.index.builder import SegmentBuilder, publish
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.replay.again import Asking, Refused
from operators.replay.columns import Record
from operators.replay.manifest import Manifest, RecordedArtifact, fingerprint
from operators.replay.run import Replay, Report
from operators.tables.segments import IndexSegment
from operators.tables.side import SideTables
from schemas.catalog import ItemVector, Moderation, SegmentAnnounced
from schemas.codec import DecodeError, decode, encode, pack
from schemas.feed import FeedRequest, FeedResponse, ServedRecord
from schemas.learning import OnlineWeights
from schemas.telemetry import Context
from tests.operators.feed_world import (
    NOW_MS,
    SECRET,
    FailingFilter,
    FailingPage,
    counters,
    item,
    neighbours,
    read,
    rich_person,
    rich_world,
    trending,
    vector,
)
from tests.operators.feed_world import record as side_record
from tests.operators.replay.parts import MADE, written

REGIONS = ("DE", "br", None)


def side_tables() -> SideTables:
    """The feed's tables, empty."""
    return SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE)


def asked(record: ServedRecord) -> Asking:
    """Read a recorded request."""
    try:
        request = decode(FeedRequest, record.request)
    except DecodeError as error:
        raise Refused(expected=error.expected, got=error.got, where=error.where) from None
    return Asking(request, request.request_id or record.request_id, record.now_ms if request.ts_ms is None else request.ts_ms)


@dataclass
class Worker:
    """A process of the feed: tables that follow the side topics at its own pace."""

    name: str
    tables: SideTables = field(default_factory=side_tables)
    reached: dict[str, int] = field(default_factory=dict)
    sequence: int = 0

    def engine(self, secret: bytes, *, default_age: int, fails: str = "") -> FeedEngine:
        """An engine on the tables, in which a stage may fail."""
        chain = feed_pipeline()
        if fails == "rerank":
            chain.selector = FailingPage()
        chain.filters = tuple(FailingFilter(one.name) if one.name == fails else one for one in chain.filters)
        return FeedEngine(tables=self.tables, secret=secret, seed=7, worker=self.name, pipeline=chain, default_age=default_age)


class Run:
    """What happened: topics as lists of records, and who did what when.

    Parameters
    ----------
    folder
        Where the recording is written.
    seed
        Of everything.
    secret
        Key of the tracking tokens.
    """

    def __init__(self, folder: Path, seed: int = 0, *, secret: bytes = SECRET) -> None:
        self.folder = folder
        self.secret = secret
        self.chance = random.Random(seed)
        self.topics: dict[str, list[Record]] = defaultdict(list)
        self.gone: dict[str, set[int]] = defaultdict(set)
        self.workers: list[Worker] = []
        self.pages: dict[str, list[bytes]] = defaultdict(list)
        self.cursors: dict[str, list[str]] = defaultdict(list)
        self.announced: dict[str, SegmentAnnounced] = {}
        self.version = 0
        self.asked = 0
        folder.mkdir(parents=True, exist_ok=True)
        for topic, key, value in rich_world(seed=seed):
            self.side(topic, key, value)

    def side(self, topic: str, key: str, value: bytes | None) -> None:
        """Append a record to a side topic."""
        records = self.topics[topic]
        records.append(Record(len(records), NOW_MS, key.encode(), value))

    def move(self) -> None:
        """Let something change on a side topic."""
        chance, n = self.chance, self.chance.randrange(140)
        name = f"v{n}"
        changes: list[Callable[[], tuple[str, str, bytes | None]]] = [
            lambda: counters(name, total=chance.randrange(5_000), decayed=chance.random() * 60, surfaces={"1": chance.random() * 9}),
            lambda: neighbours(name, {f"v{chance.randrange(140)}": round(chance.random(), 3) for _ in range(9)}),
            lambda: vector(name, *(chance.randrange(-127, 128) for _ in range(64)), simhash=chance.getrandbits(60) + 1),
            lambda: item(
                name, creator_id=f"c{n % 31}", category=f"k{n % 7}", region=chance.choice(REGIONS), age_rating=chance.choice((0, 16))
            ),
            lambda: side_record("catalog.items", f"v{chance.randrange(100, 140)}", None),
            lambda: trending("global", [f"v{i}" for i in chance.sample(range(140), 30)]),
            lambda: side_record(
                "control.moderation", f"video:{name}", Moderation(kind="video", id=name, blocked=chance.random() < 0.3, at_ms=NOW_MS)
            ),
            self._weights,
            self._weights,
            lambda: side_record(
                "control.objective", "feed", msgspec.structs.replace(INITIAL_OBJECTIVE, version=f"o{chance.randrange(99)}", **self._heads())
            ),
        ]
        self.side(*chance.choice(changes)())

    def _heads(self) -> dict[str, Any]:
        heads = {head: weight * (0.5 + self.chance.random()) for head, weight in INITIAL_OBJECTIVE.heads.items()}
        return {"heads": heads, "exploration_rate": 0.2}

    def _weights(self) -> tuple[str, str, bytes | None]:
        self.version += 1
        draws = random.Random(self.version)
        packed = struct.pack(f"<{N_FEATURES + 1}f", *(draws.gauss(0, 0.2) for _ in range(N_FEATURES + 1)))
        weights = OnlineWeights(
            model="online",
            version=self.version,
            feature_set=FEATURE_SET,
            updated_ms=NOW_MS,
            examples=self.version,
            heads=dict.fromkeys(INITIAL_OBJECTIVE.heads, packed),
        )
        return side_record("models.online", "online", weights)

    def announce(self) -> None:
        """Build a segment of all vectors and announce it."""
        vectors: dict[str, bytes] = {}
        for one in self.topics["catalog.vectors"]:
            vectors[(one.key or b"").decode()] = decode(ItemVector, one.value or b"").vector
        end = len(self.topics["catalog.vectors"])
        exact_below = self.chance.choice((0, 1_000))
        segment = SegmentBuilder(exact_below=exact_below).build(vectors, dim=64)
        announced = publish(segment, self.folder / IndexSegment.folder, built_ms=NOW_MS, vectors_offset=end)
        self.announced[announced.path] = announced
        self.side("catalog.segments", "items", encode(announced))

    def start(self, name: str) -> Worker:
        """Start a worker: it reads all side topics to their ends before it answers."""
        worker = Worker(name)
        self.workers.append(worker)
        self.catch_up(worker, share=1.0)
        return worker

    def catch_up(self, worker: Worker, *, share: float | None = None) -> None:
        """Let a worker read on, each topic as far as chance has it, the topics in any order."""
        topics = [topic for topic in worker.tables.topics if topic not in worker.tables.artifacts]
        self.chance.shuffle(topics)
        for topic in topics:
            here, end = worker.reached.get(topic, 0), len(self.topics[topic])
            there = here + round((end - here) * (self.chance.random() if share is None else share))
            for one in self.topics[topic][here:there]:
                worker.tables.apply(topic, 0, one.offset, one.key, one.value)
            worker.reached[topic] = there

    def load_segment(self, worker: Worker) -> None:
        """Let a worker put the newest segment in use."""
        for one in self.topics["catalog.segments"][-1:]:
            announced = worker.tables.apply("catalog.segments", 0, one.offset, one.key, one.value)
            if announced is not None:
                worker.tables.install(announced, announced.open(self.folder))

    def answer(self, worker: Worker, *, attempt: int = 1, request_id: str | None = None, available: bool = True) -> ServedRecord:
        """Let a worker answer somebody."""
        self.asked += 1
        user_id = f"u{self.chance.randrange(9)}"
        name = request_id or f"r{self.asked}"
        request = FeedRequest(
            user_id=user_id,
            request_id=name if self.chance.random() < 0.8 else None,
            limit=self.chance.choice((5, 20, 60)),
            context=Context(surface="1", region=self.chance.choice(REGIONS)),
            shadow=self.chance.random() < 0.1,
            cursor=self.chance.choice(self.cursors[user_id]) if self.cursors[user_id] and self.chance.random() < 0.4 else None,
        )
        raw = encode(request)
        person = rich_person() if self.chance.random() < 0.8 else None
        seen = [f"v{i}" for i in self.chance.sample(range(140), self.chance.choice((25, 140)))]
        worker.sequence += 1
        fails = self.chance.choice(("rerank", "seen", "region", "age")) if self.chance.random() < 0.2 else ""
        answer = worker.engine(self.secret, default_age=self.chance.choice((12, 17)), fails=fails).answer(
            request=request,
            raw=raw,
            request_id=name,
            read=read(person, seen=seen, pages=self.pages[user_id][-5:], available=available),
            now_ms=NOW_MS + 1_000 * self.asked,
            sequence=worker.sequence,
            attempt=attempt,
            skip=["vector"] if self.chance.random() < 0.1 else (),
        )
        if answer.page is not None:
            self.pages[user_id].append(pack(answer.page))
            self.cursors[user_id].append(answer.response.next_cursor or "")
        response, served = answer.timed({"total": self.chance.random()})
        self.put("feed.responses", self.chance.randrange(4), response.request_id, encode(response), (("attempt", str(attempt).encode()),))
        self.put("feed.served", self.chance.randrange(4), user_id, encode(served))
        return served

    def put(self, topic: str, partition: int, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Append a record to a partition of a feed topic."""
        records = self.topics[f"{topic}/{partition}"]
        records.append(Record(len(records), NOW_MS, key.encode(), value, headers))

    def live(self, answers: int, *, names: tuple[str, ...] = ("feed-0@1", "feed-1@1")) -> None:
        """Let workers answer while everything moves."""
        self.announce()
        workers = [self.start(name) for name in names]
        for n in range(answers):
            for _ in range(self.chance.randrange(6)):
                self.move()
            worker = self.chance.choice(workers)
            self.catch_up(worker)
            if n % 25 == 24:
                self.announce()
            if self.chance.random() < 0.2:
                self.load_segment(worker)
            self.answer(worker, available=self.chance.random() < 0.9)

    def tamper(self, change: Callable[[ServedRecord], ServedRecord], *, nth: int = 0) -> str:
        """Change one lineage record before it is written; return its request."""
        records = self.topics["feed.served/0"]
        served = change(decode(ServedRecord, records[nth].value or b""))
        records[nth] = records[nth]._replace(value=encode(served))
        return served.request_id

    def tamper_response(self, change: Callable[[FeedResponse], FeedResponse], *, nth: int = 0) -> str:
        """Change one response before it is written; return its request."""
        records = self.topics["feed.responses/0"]
        response = change(decode(FeedResponse, records[nth].value or b""))
        records[nth] = records[nth]._replace(value=encode(response))
        return response.request_id

    def compact(self, topic: str, end: int) -> None:
        """Forget every record below `end` whose key comes again below `end`."""
        newest = {one.key: one.offset for one in self.topics[topic][:end]}
        self.gone[topic] = {one.offset for one in self.topics[topic][:end] if newest[one.key] != one.offset}

    def save(self, *, tells_secret: bool = True, leave_out: tuple[str, ...] = (), ends: dict[str, int] | None = None) -> Manifest:
        """Write the folder."""
        parts = []
        for name in sorted({*self.topics, *side_tables().topics}):
            topic, _, partition = name.partition("/")
            if topic not in leave_out:
                end, gone = (ends or {}).get(topic), self.gone[topic]
                parts.append(written(self.folder, topic, int(partition or 0), self.topics[name], end=end, gone=gone))
        manifest = Manifest(
            recorded_ms=NOW_MS,
            since_ms=None,
            topic_prefix="",
            secret=fingerprint(self.secret) if tells_secret else None,
            made=MADE,
            parts=parts,
            artifacts=[
                RecordedArtifact(topic="catalog.segments", path=one.path, sha256=one.sha256, copied=True) for one in self.announced.values()
            ],
        )
        manifest.save(self.folder)
        return manifest

    def replay(self, *, secret: bytes | None = SECRET, limit: int | None = None, worker: str | None = None) -> Report:
        """Replay the folder."""
        replay = Replay(folder=self.folder, secret=secret, ask=asked, make_tables=side_tables)
        try:
            return replay.run(limit=limit, worker=worker)
        finally:
            replay.close()
