"""Measures freshness from outside: how long until an event can be read as a feature, and until it changes a feed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from schemas import keys
from schemas.codec import unpack
from schemas.features import UserState
from schemas.feed import FeedRequest, FeedResponse
from schemas.telemetry import Context, InteractionType, RawEvent
from serving.client import FeedClient
from serving.errors import PenstockError
from serving.producer import TelemetryProducer

_GIVE_UP_S = 10.0
_LOOK_EVERY_S = 0.002
_ASK_EVERY_S = 0.02


@dataclass(slots=True)
class Freshness:
    """What the probes have measured, in milliseconds; `missed` counts probes whose event was not seen in time."""

    event_to_feature_ms: list[float] = field(default_factory=list)
    event_to_feed_ms: list[float] = field(default_factory=list)
    missed: int = 0


class FreshnessProbe(threading.Thread):
    """People who look at the first video of their feed, and watch how long it takes until it is gone from it.

    A probe asks for a feed, sends an impression and a like of the first video in it, and then looks at the person's state in the store
    and at further answers until the video is in the one and no longer in the other. Both times run from the call that sends the event,
    so they hold the producer, the broker and every part in between. The questions are shadow requests: they change nothing.

    Parameters
    ----------
    client : FeedClient
        Asks.
    producer : TelemetryProducer
        Sends; nobody else may use it, and its linger should be 0.
    store : Redis
        Is looked at.
    every : float
        Seconds between the starts of two probes at least.
    now_ms : callable
        The "now" of the events and requests, in epoch milliseconds; a log that is streamed has its own time.
    surface : str or None
        Surface on which the feed is asked for.
    """

    def __init__(
        self,
        client: FeedClient,
        producer: TelemetryProducer,
        store: Redis,
        *,
        every: float = 0.5,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
        surface: str | None = None,
    ) -> None:
        super().__init__(name="freshness-probe", daemon=True)
        self.client = client
        self.producer = producer
        self.store = store
        self.every = every
        self.surface = surface
        self.now_ms = now_ms
        self.freshness = Freshness()
        self._run_id = f"{random.SystemRandom().randrange(16**6):06x}"
        self._ended = threading.Event()

    def run(self) -> None:
        """Probe until :meth:`end`."""
        number = 0
        while not self._ended.is_set():
            started = time.monotonic()
            try:
                self._probe(f"probe-{self._run_id}-{number}")
            except (PenstockError, RedisError):
                self.freshness.missed += 1
            number += 1
            self._ended.wait(max(self.every - (time.monotonic() - started), 0.0))

    def end(self) -> None:
        """Finish the probe that is under way."""
        self._ended.set()
        self.join(timeout=2 * _GIVE_UP_S)

    def _probe(self, user_id: str) -> None:
        page = self._ask(user_id)
        if not page.items:
            return
        video_id = page.items[0].video_id
        sent = time.monotonic()
        self.producer.send(user_id, [self._event(user_id, video_id, kind) for kind in (InteractionType.IMPRESSION, InteractionType.LIKE)])
        in_store = in_feed = None
        asked = sent
        while (in_store is None or in_feed is None) and time.monotonic() - sent < _GIVE_UP_S:
            self.producer.poll()
            if in_store is None and self._knows(user_id, video_id):
                in_store = time.monotonic() - sent
            if in_feed is None and time.monotonic() - asked >= _ASK_EVERY_S:
                asked = time.monotonic()
                if all(item.video_id != video_id for item in self._ask(user_id).items):
                    in_feed = time.monotonic() - sent
            time.sleep(_LOOK_EVERY_S)
        if in_store is None or in_feed is None:
            self.freshness.missed += 1
            return
        self.freshness.event_to_feature_ms.append(in_store * 1000)
        self.freshness.event_to_feed_ms.append(in_feed * 1000)

    def _ask(self, user_id: str) -> FeedResponse:
        context = None if self.surface is None else Context(surface=self.surface)
        return self.client.ask(FeedRequest(user_id=user_id, limit=10, ts_ms=self.now_ms(), shadow=True, context=context))

    def _event(self, user_id: str, video_id: str, kind: InteractionType) -> RawEvent:
        return RawEvent(event_id=f"{user_id}-{kind.value}", video_id=video_id, interaction_type=kind, timestamp=self.now_ms())

    def _knows(self, user_id: str, video_id: str) -> bool:
        row = self.store.get(keys.user_state(user_id))
        if not isinstance(row, bytes):
            return False
        state = unpack(UserState, row[keys.VERSION_BYTES :])
        return any(taken.video_id == video_id for taken in state.positives)
