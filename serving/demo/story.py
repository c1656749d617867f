"""One person's feed before and after likes, and a few bad records sent on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from schemas.feed import FeedItem, FeedRequest, FeedResponse
from schemas.settings import Settings
from schemas.telemetry import Context, InteractionType, RawEvent
from serving.client import FeedClient
from serving.producer import TelemetryProducer
from serving.publisher import Publisher

BAD_USER = "bad"

_PAGE = 10
_LIKES = 3
_PATIENCE_S = 10.0


class ChangedFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A person's feed before and after likes; `kind` is the category or tag that all liked videos share."""

    user_id: str
    before: list[str]
    liked: list[str]
    after: list[str]
    kind: str
    before_of_kind: int
    after_of_kind: int
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the feed holds more of what was liked than before."""
        return self.after_of_kind > self.before_of_kind


def change_a_feed(
    client: FeedClient,
    producer: TelemetryProducer,
    kind_of: Callable[[str], str | None],
    *,
    user_id: str,
    now_ms: Callable[[], int],
    surface: str | None = None,
) -> ChangedFeed | None:
    """Let a new person like some videos of one kind, and return the feed before and after; None where there is nothing to like.

    Parameters
    ----------
    kind_of : callable
        The category or tag of a video.
    """

    def ask(limit: int) -> list[FeedItem]:
        context = None if surface is None else Context(surface=surface)
        request = FeedRequest(user_id=user_id, limit=limit, ts_ms=now_ms(), shadow=True, context=context)
        response: FeedResponse = client.ask(request)
        return response.items

    pool = [item.video_id for item in ask(100)]
    before = pool[:_PAGE]
    kinds = {video: kind_of(video) for video in pool}
    candidates = sorted({kind for kind in kinds.values() if kind is not None})
    if not candidates:
        return None
    # A kind of which there is enough to like further down, and little on the first page.
    kind = max(candidates, key=lambda name: (min(sum(kinds[v] == name for v in pool), 6), -sum(kinds[v] == name for v in before), name))
    liked = [video for video in pool if kinds[video] == kind][-_LIKES:]
    started = time.monotonic()
    for video in liked:
        kinds_sent = (InteractionType.IMPRESSION, InteractionType.FINISH, InteractionType.LONG_VIEW, InteractionType.LIKE)
        producer.send(user_id, [_event(user_id, video, sent, now_ms()) for sent in kinds_sent])
    producer.flush()
    of_kind_before = sum(kind_of(video) == kind for video in before)
    after = before
    while time.monotonic() - started < _PATIENCE_S:
        after = [item.video_id for item in ask(_PAGE)]
        if sum(kind_of(video) == kind for video in after) > of_kind_before:
            break
        time.sleep(0.05)
    seconds = time.monotonic() - started
    return ChangedFeed(
        user_id=user_id,
        before=before,
        liked=liked,
        after=after,
        kind=kind,
        before_of_kind=of_kind_before,
        after_of_kind=sum(kind_of(video) == kind for video in after),
        seconds=round(seconds, 3),
    )


def _event(user_id: str, video_id: str, kind: InteractionType, at_ms: int) -> RawEvent:
    return RawEvent(event_id=f"{user_id}-{video_id}-{kind.value}", video_id=video_id, interaction_type=kind, timestamp=at_ms)


def send_bad_records(settings: Settings, *, now_ms: int) -> int:
    """Send what must be set aside with a reason: no JSON, a wrong type, an unknown interaction, a far future, a repeat; return how many."""
    event = {"event_id": "bad-repeat", "video_id": "v", "interaction_type": "like", "timestamp": now_ms}
    records = [
        b'{"user_id": "bad", "events": [',
        msgspec.json.encode({"user_id": BAD_USER, "events": [event | {"event_id": "bad-type", "timestamp": "yesterday"}]}),
        msgspec.json.encode({"user_id": BAD_USER, "events": [event | {"event_id": "bad-kind", "interaction_type": "stare"}]}),
        msgspec.json.encode({"user_id": BAD_USER, "events": [event | {"event_id": "bad-future", "timestamp": 4_102_444_800_000}]}),
        msgspec.json.encode({"user_id": BAD_USER, "events": [event]}),
        msgspec.json.encode({"user_id": BAD_USER, "events": [event]}),
    ]
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for record in records:
            publisher.publish("telemetry.raw", BAD_USER, record)
    return len(records) - 1
