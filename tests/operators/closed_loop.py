"""The whole loop in one process: what people do goes through the folds into the tables, and the tables answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from operators.cooccurrence.cowatch import CoWatch
from operators.cooccurrence.watched import watching
from operators.embeddings.content import ContentVectors
from operators.embeddings.simhash import SimHash
from operators.embeddings.upserts import Upsert, VectorUpserts
from operators.feed import FeedEngine
from operators.interactions import implied
from operators.profiles.users import UserProfiles
from operators.trending.trending import Trending
from operators.windows.entities import EntityWindows
from schemas.base import Message
from schemas.catalog import CatalogItem
from schemas.codec import encode, pack
from schemas.feed import FeedRequest, FeedResponse, ReadState
from schemas.keys import SEEN_BITS, seen_generations
from schemas.telemetry import Context, Event, InteractionType, Origin, RawEvent, UserHistory
from tests.operators.feed_world import SECRET, feed, tables

Read = dict[int, bytearray]


class ClosedLoop:
    """Folds, tables and engine of a small system; `now_ms` is its clock, `found` says how many candidates each source had last."""

    def __init__(self, catalogue: Iterable[CatalogItem], *, now_ms: int) -> None:
        self.now_ms = now_ms
        self.items = {item.video_id: item for item in catalogue}
        self.tables = tables([])
        self.engine = FeedEngine(tables=self.tables, secret=SECRET, seed=0, worker="test")
        self.users, self.entities, self.co_watch, self.trending = UserProfiles(), EntityWindows(), CoWatch(change=0.0), Trending()
        self.states: dict[str, bytes] = {}
        self.found: dict[str, int] = {}
        self._seen: dict[str, Read] = defaultdict(lambda: defaultdict(lambda: bytearray(SEEN_BITS // 8)))
        self._pages: dict[str, list[bytes]] = defaultdict(list)
        self._offset = self._asked = 0
        upserts = [Upsert(n, item.video_id.encode(), encode(item)) for n, item in enumerate(self.items.values())]
        feed(self.tables, [("catalog.items", item.video_id, encode(item)) for item in self.items.values()])
        vectors, _, _ = VectorUpserts(vectors=ContentVectors(), simhash=SimHash())(upserts)
        feed(self.tables, [("catalog.vectors", name, encode(one)) for name, one in vectors.items() if one is not None])

    def delist(self, video_id: str) -> None:
        """Take a video out of the catalogue."""
        feed(self.tables, [("catalog.items", video_id, None), ("catalog.vectors", video_id, None)])

    def happen(self, user_id: str, raw: Sequence[RawEvent], *, context: Context | None = None) -> list[Event]:
        """Let a person do something; the tables know of it afterwards."""
        events = [self._event(user_id, one, context) for one in raw]
        self.co_watch.on_batch([one for one in map(watching, events) if one is not None])
        self.users.on_batch(events)
        self.entities.on_batch(events)
        self.trending.on_batch(events)
        self._publish()
        return events

    def remember(self, history: UserHistory) -> None:
        """Let a person have a history."""
        self.users.on_batch([history])
        before = watching(history)
        self.co_watch.on_batch([] if before is None else [before])
        self._publish()

    def ask(self, user_id: str, *, limit: int = 10, context: Context | None = None) -> FeedResponse:
        """Ask for a page, which is remembered as served."""
        self._asked += 1
        request = FeedRequest(user_id=user_id, limit=limit, context=context)
        seen = {str(one): bytes(self._seen[user_id][one]) for one in seen_generations(self.now_ms) if one in self._seen[user_id]}
        read = ReadState(state=self.states.get(user_id), seen=seen, pages=self._pages[user_id])
        name = f"{user_id}/{self._asked}"
        answer = self.engine.answer(
            request=request, raw=encode(request), request_id=name, read=read, now_ms=self.now_ms, sequence=self._asked
        )
        if answer.page is not None:
            self._pages[user_id].append(pack(answer.page))
        self.found = answer.served.candidate_counts()[0]
        return answer.response

    def _event(self, user_id: str, raw: RawEvent, context: Context | None) -> Event:
        self._offset += 1
        item = self.items.get(raw.video_id)
        value = None if raw.value is None else float(raw.value)
        duration_ms = None if item is None else item.duration_ms
        return Event(
            event_id=raw.event_id,
            user_id=user_id,
            video_id=raw.video_id,
            interaction_type=raw.interaction_type,
            timestamp_ms=raw.timestamp,
            received_ms=raw.timestamp,
            origin=Origin(0, self._offset, 0),
            value=value,
            completed=raw.completed,
            context=raw.context or context,
            source=raw.source,
            creator_id=None if item is None else item.creator_id,
            tags=() if item is None else item.tags,
            duration_ms=duration_ms,
            category=None if item is None else item.category,
            listed=item is not None,
            implies=implied(raw.interaction_type, value=value, completed=raw.completed, duration_ms=duration_ms, source=raw.source),
        )

    def _publish(self) -> None:
        for update in self.users.on_time(self.now_ms):
            self.states[update.user_id] = update.state
            for generation, bits in update.seen.items():
                bitmap = self._seen[update.user_id][generation]
                for at in range(0, len(bits), 2):
                    bit = int.from_bytes(bits[at : at + 2], "big")
                    bitmap[bit // 8] |= 128 >> bit % 8
        told: list[tuple[str, str, Message]] = []
        told += [("features.items", f"{one.kind}:{one.id}", one) for one in self.entities.on_time(self.now_ms)]
        told += [("features.trending", one.scope, one) for one in self.trending.on_time(self.now_ms)]
        told += [("features.neighbours", one.video_id, one) for one in self.co_watch.on_time(self.now_ms)]
        feed(self.tables, [(topic, key, encode(message)) for topic, key, message in told])


def did(
    kind: InteractionType, video_id: str, at_ms: int, *, name: str, value: float | None = None, completed: bool | None = None
) -> RawEvent:
    """One interaction of a client."""
    return RawEvent(event_id=name, video_id=video_id, interaction_type=kind, timestamp=at_ms, value=value, completed=completed)
