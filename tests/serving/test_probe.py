"""The freshness probe: what it times, and what it calls missed."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from redis import Redis

from schemas import keys
from schemas.codec import pack
from schemas.features import N_COUNTERS, Taken, UserState
from schemas.feed import FeedItem, FeedRequest, FeedResponse, Level
from schemas.telemetry import RawEvent
from serving.client import FeedClient
from serving.errors import TransportError
from serving.probe import FreshnessProbe
from serving.producer import TelemetryProducer


class System:
    """A client, a producer and a store in one: an event is in the store and out of the feed after `looks` looks at each."""

    def __init__(self, looks: int, *, videos: int = 3, answers: bool = True) -> None:
        self.looks, self.videos, self.answers = looks, videos, answers
        self.sent: dict[str, str] = {}
        self.asked: list[FeedRequest] = []
        self.seen = 0
        self.begun = threading.Event()

    def ask(self, request: FeedRequest) -> FeedResponse:
        self.asked.append(request)
        self.begun.set()
        if not self.answers:
            raise TransportError(expected="an answer", got="none", where="q")
        gone = self.sent.get(request.user_id) if self.seen >= self.looks else None
        items = [_item(f"v{n}") for n in range(self.videos) if f"v{n}" != gone]
        return FeedResponse(request_id="r", user_id=request.user_id, now_ms=1, items=items, degradation_level=Level.FULL)

    def send(self, user_id: str, events: list[RawEvent]) -> None:
        assert {event.video_id for event in events} == {"v0"}
        self.sent[user_id] = events[0].video_id

    def poll(self) -> None:
        return

    def get(self, key: str) -> bytes | None:
        self.seen += 1
        user_id = next((user for user in self.sent if keys.user_state(user) == key), None)
        return None if user_id is None or self.seen < self.looks else bytes(keys.VERSION_BYTES) + pack(_state(user_id, self.sent[user_id]))


def _item(video_id: str) -> FeedItem:
    empty: dict[str, Any] = dict.fromkeys(("video_url", "thumbnail_url", "prefetch_url", "creator_id"))
    return FeedItem(video_id=video_id, title="", score=1.0, source="s", recommendation_reason="", tracking_token="", **empty)


def _state(user_id: str, video_id: str) -> UserState:
    lists: dict[str, Any] = {name: [] for name in ("panes", "recent", "hidden_videos", "hidden_creators", "followed_creators")}
    taken = [Taken(video_id, 1.0, 1)]
    return UserState(user_id=user_id, version=1, updated_ms=1, totals=[0] * N_COUNTERS, tags={}, positives=taken, **lists)


def _probe_once(system: System) -> FreshnessProbe:
    probe = FreshnessProbe(cast(FeedClient, system), cast(TelemetryProducer, system), cast(Redis, system), every=60.0)
    probe.start()
    assert system.begun.wait(10)
    probe.end()
    assert not probe.is_alive()
    return probe


def test_an_event_is_timed_until_it_is_in_the_store_and_out_of_the_feed() -> None:
    system = System(looks=5)
    found = _probe_once(system).freshness
    assert (len(found.event_to_feature_ms), len(found.event_to_feed_ms), found.missed) == (1, 1, 0)
    assert found.event_to_feature_ms[0] > 0
    assert all(request.shadow for request in system.asked)


def test_an_event_that_is_never_seen_is_missed_and_gives_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.probe._GIVE_UP_S", 0.1)
    found = _probe_once(System(looks=1_000_000)).freshness
    assert (found.event_to_feature_ms, found.event_to_feed_ms, found.missed) == ([], [], 1)


def test_an_unanswered_question_is_missed() -> None:
    assert _probe_once(System(looks=1, answers=False)).freshness.missed == 1


def test_an_empty_feed_measures_nothing() -> None:
    found = _probe_once(System(looks=1, videos=0)).freshness
    assert (found.event_to_feed_ms, found.missed) == ([], 0)
