"""The bytes of every released version still decode, and encode to themselves.

Run this file to write the bytes of messages that have none yet; what is there is never overwritten.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from schemas import catalog, features, feed, learning, system, telemetry, users
from schemas.base import Message
from schemas.codec import decode, encode, pack, unpack
from schemas.dlq import DeadLetter, LetterMark, ReasonCode
from schemas.registry import MESSAGES

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STORED = (features.UserState, features.ServedPage)
NOW = 1_651_000_000_000
CONTEXT = telemetry.Context(surface="for_you", session_id="s-1", device="phone", region="DE", language="de")
COUNTS = list(range(features.N_COUNTERS))
PANE = features.Pane(minute=NOW // features.PANE_MS, counts=COUNTS)

EXAMPLES: tuple[Message, ...] = (
    telemetry.TelemetryBatch(
        user_id="42",
        device_id="d-1",
        events=[
            telemetry.RawEvent(
                event_id="e-1",
                video_id="v-7",
                interaction_type=telemetry.InteractionType.WATCH_TIME,
                timestamp=NOW,
                value="12.4",
                completed=True,
                context=CONTEXT,
                tracking_token="t0ken",
                source="upstream",
            ),
            telemetry.RawEvent(event_id="e-2", video_id="v-7", interaction_type=telemetry.InteractionType.LIKE, timestamp=NOW + 1),
        ],
    ),
    telemetry.Event(
        event_id="e-1",
        user_id="42",
        video_id="v-7",
        interaction_type=telemetry.InteractionType.WATCH_TIME,
        timestamp_ms=NOW,
        received_ms=NOW + 20,
        origin=telemetry.Origin(partition=2, offset=1_041, index=0),
        value=12.4,
        completed=True,
        device_id="d-1",
        context=CONTEXT,
        tracking_token="t0ken",
        source="derived",
        creator_id="c-3",
        tags=("cats", "größer"),
        duration_ms=15_000,
    ),
    users.UserRecord(
        user_id="42",
        birth_year=1990,
        age=32,
        region="DE",
        language="de",
        device_type="phone",
        created_ms=NOW - 1_000,
        updated_ms=NOW,
        quiz=("cats", "jazz"),
        guest=True,
        merged_into="43",
    ),
    telemetry.UserHistory(user_id="42", watched=["v-1", "v-2"], liked=["v-2"], long_viewed=["v-1"]),
    catalog.CatalogItem(
        video_id="v-7",
        creator_id="c-3",
        title="A cat",
        description="It jumps.",
        tags=("cats", "jumps"),
        category="animals",
        audio_id="a-1",
        duration_ms=15_000,
        language="de",
        region="DE",
        age_rating=6,
        uploaded_ms=NOW - 1_000,
        video_url="https://video.test/v-7",
        thumbnail_url="https://video.test/v-7.jpg",
        prefetch_url="https://video.test/v-7?head",
        source="upstream",
    ),
    catalog.ItemVector(video_id="v-7", vector=bytes([1, 255, 127, 0]), simhash=2**64 - 1, catalog_offset=9),
    catalog.SegmentAnnounced(
        segment_id="seg-1",
        kind="hnsw",
        path="seg-1.hnsw",
        sha256="00ff",
        dim=64,
        count=2,
        built_ms=NOW,
        vectors_offset=10,
        recall_probe=0.99,
        parameters={"m": 32},
    ),
    catalog.Moderation(kind="creator", id="c-3", blocked=True, reason="spam", at_ms=NOW),
    features.EntityCounters(
        kind="video",
        id="v-7",
        version=3,
        updated_ms=NOW,
        totals=COUNTS,
        panes=[PANE],
        decayed=features.Decayed(at_ms=NOW, values=[0.5, 1.25]),
        late=1,
    ),
    features.UserState(
        user_id="42",
        version=5,
        updated_ms=NOW,
        totals=COUNTS,
        panes=[PANE],
        tags={"cats": features.TagInterest(weight=0.75, at_ms=NOW, totals=COUNTS, panes=[PANE])},
        positives=[features.Taken(video_id="v-7", weight=1.5, at_ms=NOW)],
        recent=[features.Taken(video_id="v-1", weight=0.5, at_ms=0)],
        hidden_videos=["v-9"],
        hidden_creators=["c-9"],
        followed_creators=["c-3"],
        seen_count=17,
        late=1,
        profile=features.Profile(
            birth_year=1990, region="DE", language="de", device_type="phone", created_ms=NOW, quiz=("cats",), guest=True
        ),
    ),
    features.ServedPage(request_id="r-1", at_ms=NOW, video_ids=["v-7", "v-8"], simhashes=[1, 2**64 - 1], after="c-1"),
    features.TrendingList(scope="region:DE", as_of_ms=NOW, half_life_ms=3_600_000, video_ids=["v-7", "v-8"], scores=[2.5, 1.0]),
    features.Neighbours(video_id="v-7", as_of_ms=NOW, video_ids=["v-8"], weights=[0.25]),
    feed.FeedRequest(user_id="42", request_id="r-1", device_id="d-1", limit=10, ts_ms=NOW, cursor="c", context=CONTEXT, shadow=True),
    feed.FeedResponse(
        request_id="r-1",
        user_id="42",
        now_ms=NOW,
        items=[
            feed.FeedItem(
                video_id="v-7",
                title="A cat",
                video_url="https://video.test/v-7",
                thumbnail_url=None,
                prefetch_url=None,
                creator_id="c-3",
                score=0.5,
                source="ann",
                recommendation_reason="because you liked cats",
                tracking_token="t0ken",
                ad_tracking_token="ad",
            )
        ],
        degradation_level=feed.Level.ONLINE_MODEL,
        next_cursor="n",
        model_versions={"online": "7"},
        experiment_arms={"layer": "a"},
        error=feed.RequestError(code="invalid", expected="x", got="y", path="$.limit", do="ask for fewer"),
        latency_ms={"rank": 1.5},
    ),
    feed.ServedRecord(
        request_id="r-1",
        attempt=2,
        user_id="42",
        worker="feed-0",
        sequence=8,
        now_ms=NOW,
        request=b'{"user_id":"42"}',
        read=feed.ReadState(available=True, state=b"\x00\x01", seen={"3821": b"\xff"}, pages=[b"\x90"]),
        offsets={"catalog.items/0": 12},
        segment_id="seg-1",
        model_versions={"online": "7"},
        experiment_arms={"layer": "a"},
        seed=3,
        level=feed.Level.FULL,
        shadow=True,
        skipped=["ann"],
        sources=["ann", "trending"],
        reasons=["seen"],
        candidates=feed.CandidateTable(video_ids="v-7\nv-8", sources=b"\x01\x00\x02\x00", dropped=b"\x00\x01", scores=bytes(8)),
        ranked=["v-7"],
        items=[feed.ServedItem(video_id="v-7", rank=0, source="ann", score=0.5, propensity=0.95, explored=True)],
        feature_set="f1",
        features=bytes(4),
        response_sha256="00ff",
        latency_ms={"rank": 1.5},
    ),
    learning.LabelledExample(
        example_id="r-1/v-7",
        request_id="r-1",
        user_id="42",
        video_id="v-7",
        position=0,
        served_ms=NOW,
        outcome_ms=NOW + 5,
        labels={"like": 1, "skip": 0},
        watch_ms=12_400,
        propensity=0.95,
        model_versions={"online": "7"},
        feature_set="f1",
        features=bytes(4),
        joined_by="video",
        surface="for_you",
    ),
    learning.OnlineWeights(model="online", version=7, feature_set="f1", updated_ms=NOW, examples=100, heads={"like": bytes(8)}),
    learning.Objective(version="o-1", heads={"long_view": 1.0, "like": 0.5}, exploration_rate=0.1),
    learning.LearningMetrics(
        model="online", head="like", as_of_ms=NOW, window=1_000, examples=900, positives=90, auc=0.75, log_loss=0.25, calibration=1.01
    ),
    learning.DriftAlarm(model="online", head="like", detector="ADWIN", at_ms=NOW, examples=4_096, before=0.031_25, after=0.0625),
    DeadLetter(
        reason=ReasonCode.FUTURE_DATED,
        expected="a time up to 5 minutes ahead",
        got="a day ahead",
        path="$.events[1].timestamp",
        topic="telemetry.raw",
        partition=2,
        offset=1_041,
        event_index=1,
        event_id="e-2",
        attempt=2,
        at_ms=NOW,
        key=b"42",
        raw=b'{"user_id":"42","events":[]}',
    ),
    LetterMark(
        letter_id="telemetry.raw/2/1041/1",
        action="sent",
        at_ms=NOW,
        topic="telemetry.raw",
        partition=2,
        offset=1_050,
        reason="clocks are right",
    ),
    system.SystemRecord(system_id="00ff", host="feeds-1", home="/srv/feeds", up_since_ms=NOW - 5_000, at_ms=NOW, running=False),
)


def golden_file(kind: type[Message], suffix: str) -> Path:
    """Where the bytes of the current version of a message are."""
    return GOLDEN / f"{kind.__name__}.v{kind.VERSION}.{suffix}"


def same(message: Message, path: Path) -> bytes:
    """The bytes that an encoded message starts with: a row of the store that is older lacks what was added at the end."""
    old_row = isinstance(message, STORED) and path != golden_file(type(message), "json")
    return path.read_bytes().removesuffix(b"]") if old_row else path.read_bytes()


def golden_files(suffix: str) -> list[Path]:
    """The bytes of all released versions."""
    return sorted(GOLDEN.glob(f"*.v*.{suffix}"))


def test_every_message_has_golden_bytes() -> None:
    assert {golden_file(kind, "json") for kind in MESSAGES.values()} <= set(golden_files("json"))
    assert {golden_file(kind, "msgpack") for kind in STORED} <= set(golden_files("msgpack"))


def test_every_message_has_an_example_that_sets_every_field() -> None:
    assert {type(example).__name__ for example in EXAMPLES} == MESSAGES.keys()
    for example in EXAMPLES:
        if not isinstance(example, STORED):
            assert msgspec.json.decode(encode(example)).keys() >= required(type(example)), type(example).__name__


def required(kind: type[Message]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


@pytest.mark.parametrize("path", golden_files("json"), ids=lambda path: path.stem)
def test_released_bytes_decode_and_encode_to_themselves(path: Path) -> None:
    message = decode(MESSAGES[path.name.partition(".")[0]], path.read_bytes())
    assert encode(message).startswith(same(message, path))


@pytest.mark.parametrize("path", golden_files("msgpack"), ids=lambda path: path.stem)
def test_released_rows_of_the_store_decode_and_encode_to_themselves(path: Path) -> None:
    row = unpack(MESSAGES[path.name.partition(".")[0]], path.read_bytes())
    # What an older version did not know is at its default, at the end of the array.
    assert unpack(type(row), pack(row)) == row
    assert pack(row) == path.read_bytes() or path != golden_file(type(row), "msgpack")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_the_current_version_is_what_the_golden_bytes_say(example: Message) -> None:
    assert encode(example) == golden_file(type(example), "json").read_bytes()


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=lambda kind: kind.__name__)
def test_a_field_of_a_later_version_is_ignored(kind: type[Message]) -> None:
    path = golden_file(kind, "json")
    if issubclass(kind, STORED):
        later = path.read_bytes().removesuffix(b"]") + b',"later"]'
    else:
        later = path.read_bytes().removesuffix(b"}") + b',"a_later_field":1}'
    assert encode(decode(kind, later)) == path.read_bytes()


def write_missing() -> None:
    """Write the bytes of messages that have none yet."""
    for example in EXAMPLES:
        files = {golden_file(type(example), "json"): encode(example)}
        if isinstance(example, STORED):
            files[golden_file(type(example), "msgpack")] = pack(example)
        for path, data in files.items():
            if not path.exists():
                path.write_bytes(data)


if __name__ == "__main__":
    write_missing()
