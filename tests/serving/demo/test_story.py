"""The story of one feed, and what makes a demo fail."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from schemas.feed import FeedItem, FeedRequest, FeedResponse, Level
from schemas.telemetry import InteractionType, RawEvent
from serving.client import FeedClient
from serving.demo import DemoSummary
from serving.demo.story import ChangedFeed, change_a_feed
from serving.demo.summary import judged
from serving.percentile import percentile
from serving.producer import TelemetryProducer

KINDS = {f"cat{n}": "cats" for n in range(6)} | {f"dog{n}": "dogs" for n in range(14)}
POOL = [*(f"dog{n}" for n in range(12)), *(f"cat{n}" for n in range(6))]


def _item(video_id: str) -> FeedItem:
    return FeedItem(
        video_id=video_id,
        title="",
        video_url=None,
        thumbnail_url=None,
        prefetch_url=None,
        creator_id=None,
        score=1.0,
        source="s",
        recommendation_reason="",
        tracking_token="",
    )


class Reacting:
    """A feed and its producer: cats come first once one of them was liked, unless the feed is `deaf`."""

    def __init__(self, pool: list[str], *, deaf: bool = False) -> None:
        self.pool = pool
        self.deaf = deaf
        self.events: list[RawEvent] = []
        self.asked: list[FeedRequest] = []

    def ask(self, request: FeedRequest) -> FeedResponse:
        self.asked.append(request)
        liked = {event.video_id for event in self.events if event.interaction_type == InteractionType.LIKE}
        pool = sorted(self.pool, key=lambda video: video.startswith("dog")) if liked and not self.deaf else self.pool
        items = [_item(video) for video in pool[: request.limit]]
        return FeedResponse(request_id="r", user_id=request.user_id, now_ms=1, items=items, degradation_level=Level.FULL)

    def send(self, _user_id: str, events: list[RawEvent]) -> None:
        self.events += events

    def flush(self) -> None:
        return


def _tell(feed: Reacting) -> ChangedFeed | None:
    return change_a_feed(cast(FeedClient, feed), cast(TelemetryProducer, feed), KINDS.get, user_id="u", now_ms=lambda: 5)


def test_likes_of_what_stands_further_down_bring_more_of_it_to_the_first_page() -> None:
    feed = Reacting(POOL)
    story = _tell(feed)
    assert story is not None
    assert story.changed
    assert (story.kind, story.before_of_kind, story.after_of_kind) == ("cats", 0, 6)
    assert story.liked == ["cat3", "cat4", "cat5"]
    assert all(request.shadow for request in feed.asked)
    assert len({event.event_id for event in feed.events}) == len(feed.events)


def test_a_feed_that_does_not_react_has_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.demo.story._PATIENCE_S", 0.1)
    story = _tell(Reacting(POOL, deaf=True))
    assert story is not None
    assert not story.changed


def test_an_empty_feed_has_no_story() -> None:
    assert _tell(Reacting([])) is None


def _summary(**changes: Any) -> DemoSummary:
    changed = ChangedFeed(user_id="u", before=["a"], liked=["b"], after=["b"], kind="k", before_of_kind=0, after_of_kind=1, seconds=0.2)
    good = DemoSummary(
        data="simulator",
        requests=10,
        answered=10,
        unanswered=0,
        levels={"full": 10},
        feeds_per_s=1.0,
        feed_p50_ms=1.0,
        feed_p99_ms=2.0,
        events=5,
        events_per_s=1.0,
        event_to_feature_p50_ms=1.0,
        event_to_feature_p99_ms=1.0,
        event_to_feed_p50_ms=1.0,
        event_to_feed_p99_ms=1.0,
        probes=1,
        probes_missed=0,
        changed_feed=changed,
        dead_letters={"malformed": 1},
        bad_records_sent=1,
        seconds_to_first_feed=1.0,
        memory_mb={"feed-0": 1.0},
        failures=[],
    )
    return msgspec.structs.replace(good, **changes)


def test_a_demo_fails_for_each_thing_that_must_not_be() -> None:
    assert judged(_summary()).failures == []
    assert judged(_summary(requests=0, answered=0)).failures == ["no feed was asked for"]
    assert judged(_summary(answered=8)).failures == ["2 requests went unanswered"]
    assert judged(_summary(answered=9, unanswered=1)).failures == ["1 requests went unanswered"]
    assert judged(_summary(changed_feed=None)).failures == ["no feed changed after likes"]
    unchanged = msgspec.structs.replace(cast(ChangedFeed, _summary().changed_feed), after_of_kind=0)
    assert judged(_summary(changed_feed=unchanged)).failures == ["no feed changed after likes"]
    assert judged(_summary(failures=["it rained"])).failures == ["it rained"]


def test_the_summary_has_every_field_that_programs_read() -> None:
    written = msgspec.json.decode(msgspec.json.encode(_summary()))
    wanted = {"requests", "answered", "unanswered", "levels", "feed_p50_ms", "feed_p99_ms", "events", "events_per_s"}
    wanted |= {"event_to_feature_p99_ms", "event_to_feed_p99_ms", "changed_feed", "dead_letters", "seconds_to_first_feed", "memory_mb"}
    assert wanted <= written.keys()
    assert {"user_id", "before", "liked", "after"} <= written["changed_feed"].keys()


def test_percentiles_are_by_the_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert [percentile([3.0, 1.0, 2.0], q) for q in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]
