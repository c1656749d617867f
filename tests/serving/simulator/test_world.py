"""The simulated world: seeded, honest about what it knows, and people who react to what they are shown."""

from __future__ import annotations

from collections import Counter

from schemas.feed import FeedItem, FeedResponse, Level
from schemas.telemetry import InteractionType
from serving.simulator import World
from serving.simulator.world import REGIONS

NOW = 1_800_000_000_000


def _page(world: World, video_ids: list[str]) -> FeedResponse:
    items = [
        FeedItem(
            video_id=video_id,
            title="",
            video_url=None,
            thumbnail_url=None,
            prefetch_url=None,
            creator_id=None,
            score=0.0,
            source="fresh",
            recommendation_reason="",
            tracking_token=f"token-{video_id}",
        )
        for video_id in video_ids
    ]
    return FeedResponse(request_id="r", user_id="u", now_ms=NOW, items=items, degradation_level=Level.FULL)


def _ids(world: World, category: str) -> list[str]:
    return [item.video_id for item in world.catalogue(NOW) if item.category == category]


def test_one_seed_gives_one_world() -> None:
    one, same, other = World(seed=1, people=5, videos=50), World(seed=1, people=5, videos=50), World(seed=2, people=5, videos=50)
    assert one.catalogue(NOW) == same.catalogue(NOW) != other.catalogue(NOW)
    page = _page(one, [item.video_id for item in one.catalogue(NOW)[:10]])
    assert one.react(one.people[0], page, NOW) == same.react(same.people[0], page, NOW)


def test_people_take_to_what_they_like() -> None:
    world = World(seed=3, people=40, videos=600, drift=0.0)
    kinds: dict[str, Counter[InteractionType]] = {"loved": Counter(), "unloved": Counter()}
    for person in world.people:
        loved = max(person.tastes, key=lambda category: person.tastes[category])
        unloved = min(person.tastes, key=lambda category: person.tastes[category])
        for name, category in (("loved", loved), ("unloved", unloved)):
            kinds[name].update(event.interaction_type for event in world.react(person, _page(world, _ids(world, category)[:10]), NOW))
    assert kinds["loved"][InteractionType.LIKE] > 3 * kinds["unloved"][InteractionType.LIKE]
    assert kinds["loved"][InteractionType.IMPRESSION] > kinds["unloved"][InteractionType.IMPRESSION], "boredom ends a page early"


def test_events_bring_their_token_back_and_ids_never_repeat() -> None:
    world = World(seed=4, people=1, videos=100)
    person = world.people[0]
    ids = [item.video_id for item in world.catalogue(NOW)]
    events = [event for n in range(5) for event in world.react(person, _page(world, ids[n * 10 : n * 10 + 10]), NOW + n * 60_000)]
    assert len({event.event_id for event in events}) == len(events)
    assert all(event.tracking_token == f"token-{event.video_id}" for event in events)
    assert [event.timestamp for event in events] == sorted(event.timestamp for event in events)


def test_tastes_stay_a_distribution_while_they_drift() -> None:
    world = World(seed=5, people=1, videos=100, drift=0.3)
    person = world.people[0]
    before = dict(person.tastes)
    for n in range(20):
        world.react(person, _page(world, _ids(world, "cats")[:3]), NOW + n)
    assert abs(sum(person.tastes.values()) - 1) < 1e-9
    assert person.tastes != before


def test_people_say_where_they_are_and_some_videos_are_for_one_region() -> None:
    world = World(seed=6, people=30, videos=400)
    items = world.catalogue(NOW)
    page = _page(world, [item.video_id for item in items[:10]])
    regions = {event.context.region for person in world.people for event in world.react(person, page, NOW) if event.context is not None}
    assert regions == {person.region for person in world.people} == set(REGIONS)
    assert {item.region for item in items} == {None, *REGIONS}
    assert 0.05 < sum(item.region is not None for item in items) / len(items) < 0.3
    assert {item.language for item in items} == {None, "en"}


def test_a_watch_to_the_end_is_said_by_the_watch_time_alone() -> None:
    world = World(seed=7, people=20, videos=200)
    page = _page(world, [item.video_id for item in world.catalogue(NOW)[:30]])
    events = [event for person in world.people for event in world.react(person, page, NOW)]
    watches = [event for event in events if event.interaction_type is InteractionType.WATCH_TIME]
    assert {event.completed for event in watches} == {True, False}
    assert all(event.completed is None for event in events if event not in watches)
    assert not {InteractionType.FINISH, InteractionType.LONG_VIEW} & {event.interaction_type for event in events}
