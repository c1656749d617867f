"""What the recording of the feed flow holds: side topics, people, and requests in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from operators.cursor import cursor_after
from operators.ranking.features import FEATURE_SET, N_FEATURES
from schemas.catalog import Moderation
from schemas.codec import encode
from schemas.features import Profile, UserState
from schemas.feed import FeedRequest
from schemas.learning import Objective, OnlineWeights
from schemas.telemetry import Context
from tests.dataflows.recordings import Recorded
from tests.operators.feed_world import (
    DAY_MS,
    NOW_MS,
    SECRET,
    counters,
    item,
    record,
    rich_person,
    rich_world,
    state,
    taken,
    vector,
)
from tests.operators.feed_world import Record as Side

REQUESTS = "feed.requests"


VIDEOS = 40


class Person(msgspec.Struct, omit_defaults=True):
    """What the store holds of somebody before the recording."""

    state: UserState | None = None
    seen: list[str] = []
    available: bool = True


def people() -> dict[str, Person]:
    """Somebody with tastes, somebody who has seen everything, somebody who hides everything, and a child; the store is away for one."""
    everything = [*(f"v{i}" for i in range(VIDEOS)), "twin", "copy", "adult"]
    return {
        "taste": Person(rich_person(), ["v1", "v2", "v8"]),
        "done": Person(state(user_id="done", recent=taken(everything[:3])), everything),
        "away": Person(available=False),
        "picky": Person(state(user_id="picky", hidden_videos=[*everything, "fresh"])),
        "child": Person(state(user_id="child", profile=Profile(birth_year=2011, region="DE", language="fr"))),
    }


class Recorder:
    """Numbers records by their topics."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self._ends: dict[str, int] = {}

    def add(self, topic: str, key: str, value: bytes | None, *, text: str | None = None) -> None:
        """Record one."""
        offset = self._ends[topic] = self._ends.get(topic, -1) + 1
        one = Recorded(topic=topic, offset=offset, key=key, stamp_ms=NOW_MS + offset, text=text)
        if value is not None:
            one.value = msgspec.Raw(value)
        self.records.append(one)

    def side(self, records: Sequence[Side]) -> None:
        """Record side records."""
        for topic, key, value in records:
            self.add(topic, key, value)

    def ask(self, user_id: str, request_id: str | None, **fields: Any) -> int:
        """Record a request; return its stamp."""
        self.add(REQUESTS, user_id, encode(FeedRequest(user_id=user_id, request_id=request_id, **fields)))
        return self.records[-1].stamp_ms


def made(seed: int) -> list[Recorded]:
    """Requests before there is a catalogue, with one, and after it, the weights, the objective and moderation have changed."""
    recorder = Recorder()
    recorder.ask("taste", "before")
    recorder.side(rich_world(VIDEOS, seed=seed))
    recorder.side([item("twin", title="twice", uploaded_ms=NOW_MS - 3_600_000), vector("twin", 9, simhash=5)])
    recorder.side([item("copy", title="twice", uploaded_ms=NOW_MS - DAY_MS), vector("copy", 9, simhash=5)])
    plain = {"creator_id": "c9", "duration_ms": 7_700, "tags": ("k2", "t1"), "category": "k2", "fields": {"badge": "new", "price": 3}}
    recorder.side([item("adult", title="late at night", age_rating=16, region="de", language="de-AT", **plain)])
    recorder.side(
        [counters("adult", total=40, decayed=2.0), item("soon", uploaded_ms=NOW_MS + DAY_MS), item("over", expires_ms=NOW_MS - DAY_MS)]
    )
    german = Context(region="DE", surface="1")
    first_ms = recorder.ask("taste", "first", limit=8, context=german)
    recorder.ask("taste", "second", limit=8, context=german)
    recorder.ask("new", None, limit=5)
    recorder.ask("new", "later", limit=5, ts_ms=NOW_MS + 500, context=Context(region="FR"))
    recorder.add(REQUESTS, "torn", None, text='{"user_id": ')
    recorder.add(REQUESTS, "wide", b'{"user_id":"wide","request_id":"wide","limit":1000}')
    recorder.add(REQUESTS, "early", b'{"user_id":"early","request_id":"early","ts_ms":%d}' % (NOW_MS + 60_000))
    recorder.ask("done", "again", limit=5)
    recorder.ask("away", "away", limit=5, context=german)
    recorder.ask("away", "lost", limit=5)
    recorder.side(_changes(seed))
    recorder.ask("taste", "third", limit=10, context=german)
    recorder.ask("taste", "shadow", limit=10, shadow=True)
    recorder.ask("taste", "fourth", limit=10)
    recorder.ask("new", "last", limit=30, context=Context(language="EN-us"))
    after = cursor_after(SECRET, "taste", request_id="first", at_ms=first_ms)
    for request_id in ("turned", "turned back"):
        recorder.ask("taste", request_id, limit=10, cursor=after)
    recorder.ask("picky", "nothing", limit=5)
    recorder.ask("child", "young", limit=5)
    recorder.ask("child", "abroad", limit=5, context=Context(region="fr-75", language="FR"))
    return recorder.records


def _changes(seed: int) -> list[Side]:
    learned = np.random.default_rng(seed).normal(scale=0.3, size=(2, N_FEATURES + 1)).round(3).astype(np.float32)
    heads = {head: weights.tobytes() for head, weights in zip(("taken", "like"), learned, strict=True)}
    weights = OnlineWeights(model="online", version=7, feature_set=FEATURE_SET, updated_ms=NOW_MS, examples=7, heads=heads)
    return [
        record("models.online", "online", weights),
        record("control.objective", "feed", Objective(version="o2", heads={"taken": 1.0, "like": 0.5}, exploration_rate=0.3)),
        record("control.moderation", "video:v12", Moderation(kind="video", id="v12", blocked=True, at_ms=NOW_MS)),
        record("catalog.items", "v20", None),
        item("fresh", creator_id="c7", title="a new one", tags=("k3",), category="k3", duration_ms=9_000, uploaded_ms=NOW_MS),
    ]
