from __future__ import annotations

import random
import signal
from pathlib import Path

import msgspec
import pytest

from dataflows.journal import Journal
from operators.cooccurrence.cowatch import CoWatch
from operators.cooccurrence.watched import Watched, WatchedBefore, watching
from schemas.codec import decode, encode
from schemas.features import Neighbours
from schemas.telemetry import Event, InteractionType, Origin, UserHistory
from tests.integration.side.conftest import MakePart
from tests.integration.side.world import until

pytestmark = pytest.mark.integration


def histories(n: int) -> list[UserHistory]:
    chance = random.Random(0)
    return [UserHistory(user_id=f"u{i}", watched=[f"v{chance.randrange(300)}" for _ in range(chance.randrange(50))]) for i in range(n)]


def events(n: int, start: int) -> list[Event]:
    chance = random.Random(start)
    return [
        Event(
            event_id=str(start + i),
            user_id=f"u{chance.randrange(500)}",
            video_id=f"v{chance.randrange(300)}",
            interaction_type=chance.choice([InteractionType.IMPRESSION, InteractionType.LIKE]),
            timestamp_ms=1_651_000_000_000 + start + i,
            received_ms=0,
            origin=Origin(0, start + i, 0),
        )
        for i in range(n)
    ]


def counted(before: list[UserHistory], then: list[Event]) -> CoWatch:
    cowatch = CoWatch()
    messages: list[UserHistory | Event] = [*before, *then]
    cowatch.on_batch([one for message in messages if (one := watching(message)) is not None])
    return cowatch


def plain(one: Neighbours) -> tuple[int, dict[str, float]]:
    """What is told, less the order of ties: that is by first mention, and people are woven otherwise here."""
    return one.as_of_ms, dict(zip(one.video_ids, one.weights, strict=True))


def kept(folder: Path) -> CoWatch:
    """What a part that has ended left on disk."""
    newest = max(folder.glob("*.journal"))
    base, batches = Journal(folder).resume((int(newest.stem), newest.stat().st_size))
    cowatch = CoWatch()
    if int(newest.stem):
        cowatch.restore_blocks(base)
    for batch in batches:
        cowatch.on_batch(msgspec.msgpack.decode(batch, type=list[Watched | WatchedBefore]))
    return cowatch


def test_counts_are_exact_after_three_kills_in_mid_load(make_part: MakePart) -> None:
    part = make_part("cooccurrence", "telemetry.events", "telemetry.history", "features.neighbours")
    before = histories(400)
    part.put("telemetry.history", [(one.user_id, encode(one)) for one in before])
    part.start()
    until(lambda: part.written("features.neighbours") >= 300)
    everything: list[Event] = []
    for _ in range(3):
        written = part.written("features.neighbours")
        for _ in range(4):
            some = events(1_000, len(everything))
            everything += some
            part.put("telemetry.events", [(one.user_id, encode(one)) for one in some])
        until(lambda: part.written("features.neighbours") > written)  # noqa: B023  # called before the next turn
        part.end(signal.SIGKILL)
        # what ingest repeats after a crash of its own
        part.put("telemetry.events", [(one.user_id, encode(one)) for one in everything[-300:]])
        part.start()
    until(lambda: part.done("telemetry.events") == part.written("telemetry.events"))
    assert part.end(signal.SIGTERM) == 0
    want, got = counted(before, everything), kept(part.home / "cooccurrence")
    videos = [f"v{n}" for n in range(300)]
    assert [plain(got.neighbours_of(video_id)) for video_id in videos] == [plain(want.neighbours_of(video_id)) for video_id in videos]
    assert part.newest("features.neighbours").keys() == set(videos)
    lists = [decode(Neighbours, value) for value in part.newest("features.neighbours").values()]
    assert all(len(one.video_ids) > 250 for one in lists)
