from __future__ import annotations

import random
import signal

import pytest

from operators.trending.trending import Trending
from schemas.codec import decode, encode
from schemas.features import TrendingList
from schemas.telemetry import Context, Event, InteractionType, Origin
from tests.integration.side.conftest import MakePart
from tests.integration.side.world import PartProcess, until

pytestmark = pytest.mark.integration


def events(n: int, start: int) -> list[Event]:
    chance = random.Random(start)
    return [
        Event(
            event_id=str(start + i),
            user_id=f"u{chance.randrange(200)}",
            video_id=f"v{int(chance.paretovariate(0.7)) % 700}",
            interaction_type=chance.choice(list(InteractionType)),
            timestamp_ms=1_651_000_000_000 + (start + i) * 500 - chance.randrange(600_000),
            received_ms=0,
            origin=Origin(0, start + i, 0),
            context=Context(region=chance.choice(["NL", "JP"])),
            category=f"t{chance.randrange(5)}",
        )
        for i in range(n)
    ]


def put(part: PartProcess, some: list[Event]) -> None:
    part.put("telemetry.events", [(one.user_id, encode(one)) for one in some])


def counted(some: list[Event]) -> dict[str, dict[str, float]]:
    trending = Trending()
    trending.on_batch(some)
    return {one.scope: dict(zip(one.video_ids, one.scores, strict=True)) for one in trending.on_time(0)}


def told(part: PartProcess) -> dict[str, dict[str, float]]:
    lists = [decode(TrendingList, value) for value in part.newest("features.trending").values()]
    return {one.scope: dict(zip(one.video_ids, one.scores, strict=True)) for one in lists}


def agree(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> bool:
    """Whether the scores are equal; what ties at the end of a list may differ by the last bit of a sum."""
    return one.keys() == other.keys() and all(
        list(one[scope].values()) == pytest.approx(list(other[scope].values()), rel=1e-9)
        and all(score == pytest.approx(other[scope].get(video, score), rel=1e-9) for video, score in one[scope].items())
        for scope in one
    )


def test_lists_are_exact_after_three_kills_in_mid_load(make_part: MakePart) -> None:
    part = make_part("trending", "telemetry.events", "features.trending")
    everything: list[Event] = []
    for turn in range(3):
        part.start()
        before = part.written("features.trending")
        for _ in range(4):
            some = events(2_000, len(everything))
            everything += some
            put(part, some)
        until(lambda: part.written("features.trending") > before)  # noqa: B023  # called before the next turn
        assert turn >= 0
        part.end(signal.SIGKILL)
        # what ingest repeats after a crash of its own
        put(part, everything[-500:])
    part.start()
    until(lambda: agree(told(part), counted(everything)))
    assert set(told(part)) == {"global", "region:NL", "region:JP", *(f"category:t{n}" for n in range(5))}
    assert part.end(signal.SIGTERM) == 0


def test_a_changed_list_is_told_within_two_seconds(make_part: MakePart) -> None:
    part = make_part("trending", "telemetry.events", "features.trending")
    part.start()
    until(lambda: '"ready"' in part.log())
    put(part, events(50, 0))
    until(lambda: agree(told(part), counted(events(50, 0))))
    more = events(60, 0)
    put(part, more[50:])
    assert until(lambda: agree(told(part), counted(more))) < 2.5
    assert part.end(signal.SIGTERM) == 0
