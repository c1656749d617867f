"""The ingest part as a process of its own over a real broker, killed in mid-load: each event once, nothing lost, every reason named."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from confluent_kafka.admin import AdminClient

from operators.ingest.repeats import RepeatFold
from schemas.catalog import CatalogItem
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.partition import partition_for
from schemas.telemetry import Event, InteractionType, RawEvent, TelemetryBatch
from tests.integration.side.world import PartProcess, until

pytestmark = pytest.mark.integration

TOPICS = ("telemetry.raw", "catalog.items", "telemetry.events", "telemetry.dlq")
T0_MS = 1_651_017_600_000


@pytest.fixture
def ingest(kafka: str, redis_url: str, admin: AdminClient, tmp_path: Path) -> Iterator[PartProcess]:
    part = PartProcess("ingest", TOPICS, bootstrap=kafka, redis_url=redis_url, admin=admin, home=tmp_path)
    yield part
    part.close()


def batch(user: str, *events: str) -> tuple[str, bytes]:
    made = [
        RawEvent(event_id=one, video_id="v", interaction_type=InteractionType.IMPRESSION, timestamp=T0_MS + n)
        for n, one in enumerate(events)
    ]
    return user, encode(TelemetryBatch(user_id=user, device_id="phone", events=made))


def folded(part: PartProcess) -> list[Event]:
    fold = RepeatFold()
    events = [decode(Event, value or b"") for _, value in part.read("telemetry.events")]
    return [one for one in events if fold.admits(one.origin, partition_for(one.user_id.encode(), part.partitions["telemetry.events"]))]


def letters(part: PartProcess) -> list[DeadLetter]:
    return [decode(DeadLetter, value) for value in part.newest("telemetry.dlq").values()]


def test_each_event_goes_through_once_over_kill_9_at_any_moment(ingest: PartProcess) -> None:
    random = Random(7)
    batches = [batch(f"u{n % 50}", *(f"e{n}-{i}" for i in range(5))) for n in range(3_000)]
    # One in five is retried a while later, as a client does that was not told in time.
    sent = [*batches, *random.sample(batches, 600)]
    ingest.put("telemetry.raw", sent[:900])
    ingest.start()
    for n in range(3):
        until(lambda: ingest.done("telemetry.raw") > 0)
        ingest.put("telemetry.raw", sent[900 * (n + 1) : 900 * (n + 2)])
        time.sleep((0.3, 1.2, 2.4)[n])
        ingest.end(signal.SIGKILL)
        ingest.start()
    until(lambda: ingest.done("telemetry.raw") == len(sent))
    assert ingest.end(signal.SIGTERM) == 0
    counted = Counter((one.user_id, one.event_id) for one in folded(ingest))
    assert counted == Counter((f"u{n % 50}", f"e{n}-{i}") for n in range(3_000) for i in range(5))
    found = letters(ingest)
    assert {one.reason for one in found} == {ReasonCode.DUPLICATE}
    assert len(found) == len({(one.partition, one.at_ms // 60_000) for one in found}), "one a minute and partition"


def test_bad_records_are_named_and_the_others_go_through_with_what_the_catalogue_says(ingest: PartProcess) -> None:
    item = CatalogItem(video_id="v", creator_id="c", tags=("t",), duration_ms=5_000)
    ingest.start()
    ingest.put("catalog.items", [("v", encode(item)), ("w", b"[" * 50_000)])
    until(lambda: ingest.done("catalog.items") == 2)
    ahead = str(int(time.time() * 1000) + 3_600_000).encode()
    good = batch("u", "e1")[1]
    bad = [
        b"{",
        b'{"user_id":' + b"[" * 50_000,
        b"x" * 300_000,
        b'{"user_id":5,"events":[]}',
        good.replace(b'"e1"', b'"e2"').replace(str(T0_MS).encode(), ahead),
        good.replace(b'"timestamp"', b'"value":"much","timestamp"').replace(b'"e1"', b'"e3"'),
        good.replace(str(T0_MS).encode(), str(T0_MS // 1000).encode()).replace(b'"e1"', b'"e5"'),
        good.replace(b'"events":[', b'"events":[{"event_id":"\\ud83d"},{"event_id":"\xff"},{"value":NaN},').replace(b'"e1"', b'"e6"'),
    ]
    ingest.put("telemetry.raw", [("u", good), *(("u", one) for one in bad), ("u", good), batch("u", "e4")])
    until(lambda: ingest.done("telemetry.raw") == 11)
    assert ingest.end(signal.SIGTERM) == 0
    events = folded(ingest)
    assert [one.event_id for one in events] == ["e1", "e6", "e4"]
    assert {(one.creator_id, one.tags, one.duration_ms) for one in events} == {("c", ("t",), 5_000)}
    assert {one.device_id for one in events} != {"phone"}
    assert Counter(one.reason for one in letters(ingest)) == {
        ReasonCode.MALFORMED: 4,
        ReasonCode.OVERSIZED: 1,
        ReasonCode.WRONG_TYPE: 2,
        ReasonCode.FUTURE_DATED: 1,
        ReasonCode.IMPLAUSIBLE_TIME: 1,
        ReasonCode.INVALID_VALUE: 1,
        ReasonCode.DUPLICATE: 1,
    }
