from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.interactions import MEANINGS, MOMENT_MS, implied
from operators.outcome import merged
from operators.reasons import PLAIN, reasons
from operators.retrieval import FollowedCreators, WholeCatalogue
from operators.tables.keyed import Keyed
from schemas.catalog import CatalogItem
from schemas.feed import FeedItem
from schemas.telemetry import Context, RawEvent, UserHistory
from schemas.telemetry import InteractionType as Kind
from tests.operators.closed_loop import ClosedLoop, did
from tests.operators.feed_world import ask, item, state, tables, taken

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
VIDEOS = 14
DURATION_MS = 10_000
REGION = "DE"
CATALOGUE = tuple(
    CatalogItem(
        video_id=f"v{i}",
        title=f"title {i}" if i % 5 else "",
        creator_id=f"c{i % 4}",
        category=f"k{i % 3}" if i % 7 else None,
        tags=(f"t{i % 4}",),
        duration_ms=DURATION_MS,
        uploaded_ms=NOW_MS - (1 + i) * DAY_MS if i % 2 else None,
    )
    for i in range(VIDEOS)
)
ITEMS = {one.video_id: one for one in CATALOGUE}
WATCHES = {Kind.WATCH_TIME, Kind.WATCH_25, Kind.WATCH_50, Kind.WATCH_75, Kind.FINISH, Kind.LONG_VIEW}
TITLES = {one.title: one.video_id for one in CATALOGUE if one.title}


@dataclass(frozen=True)
class Lived:
    """What one person did, what the rest of the world did, and what has left the catalogue since; `age_ms` is how long ago all that was."""

    mine: list[RawEvent]
    theirs: list[RawEvent]
    gone: list[str]
    age_ms: int

    def of(self, video_id: str) -> list[RawEvent]:
        """What the person did with a video after it was last taken back."""
        events = [one for one in self.mine if one.video_id == video_id]
        last = max((n for n, one in enumerate(events) if MEANINGS[one.interaction_type].takes_back == "video"), default=-1)
        if any(MEANINGS[one.interaction_type].hides for one in events):
            return []
        return events[last + 1 :]

    def kept(self, video_id: str) -> list[RawEvent]:
        """The same without likes and follows that were taken back."""
        events = self.of(video_id)
        undone = {Kind.LIKE: Kind.UNLIKE, Kind.FOLLOW: Kind.UNFOLLOW}
        kinds = [one.interaction_type for one in events]
        return [
            one
            for n, one in enumerate(events)
            if undone.get(one.interaction_type) not in kinds[n + 1 :] or one.interaction_type not in undone
        ]

    def watched(self, video_id: str) -> bool:
        """Whether the person watched the video for more than a moment."""
        return any(shares(one) for one in self.kept(video_id))

    def took_to(self, video_id: str) -> bool:
        """Whether the person took to the video."""
        return any(MEANINGS[kind].positive for one in self.kept(video_id) for kind in meant(one))

    def popular(self, video_id: str, *, within_ms: int) -> bool:
        """Whether anybody clicked on the video or took to it lately."""
        events = [one for one in (*self.mine, *self.theirs) if one.video_id == video_id and NOW_MS - one.timestamp < within_ms]
        return any(kind is Kind.CLICK or MEANINGS[kind].positive for one in events for kind in meant(one))

    def shown(self, video_id: str) -> bool:
        """Whether the person has seen the video."""
        return any(MEANINGS[one.interaction_type].seen for one in self.mine if one.video_id == video_id)

    def follows(self, creator_id: str | None) -> bool:
        """Whether the person follows a creator."""
        of_creator = [one.interaction_type for one in self.mine if ITEMS[one.video_id].creator_id == creator_id]
        follows = [kind for kind in of_creator if kind in {Kind.FOLLOW, Kind.UNFOLLOW}]
        return bool(follows) and follows[-1] is Kind.FOLLOW


def meant(event: RawEvent) -> tuple[Kind, ...]:
    """All that an event says."""
    value = None if event.value is None else float(event.value)
    kind = event.interaction_type
    return kind, *implied(kind, value=value, completed=event.completed, duration_ms=DURATION_MS, source=event.source)


def shares(event: RawEvent) -> bool:
    """Whether an event says that the video was watched for more than a moment."""
    if event.interaction_type is Kind.WATCH_TIME:
        watched_ms = float(event.value or 0) * 1_000
        return bool(event.completed) or watched_ms >= MOMENT_MS or watched_ms >= DURATION_MS / 2
    watched = MEANINGS[event.interaction_type].watched
    return watched is not None and (watched * DURATION_MS >= MOMENT_MS or watched >= 0.5)


def is_true(reason: str, one: FeedItem, lived: Lived) -> bool:  # noqa: PLR0911  # one sentence after the other
    """Whether a reason holds, by what happened alone: a reaction is no watch."""
    video_id, mine = one.video_id, [f"v{i}" for i in range(VIDEOS)]
    if reason.startswith("Because you watched "):
        named = TITLES[reason.removeprefix("Because you watched ")]
        return any(shares(one) and one.interaction_type in WATCHES for one in lived.kept(named)) and named not in lived.gone
    if reason.startswith("Because you enjoyed "):
        named = TITLES[reason.removeprefix("Because you enjoyed ")]
        return lived.took_to(named) and named not in lived.gone
    if reason.startswith("Because you watch "):
        category = reason.removeprefix("Because you watch ")
        return one.category == category and any(lived.watched(v) or lived.took_to(v) for v in mine if ITEMS[v].category == category)
    if reason.startswith(("Trending in ", "Popular in ")):
        place = reason.split(" in ")[1]
        fresh = NOW_MS - lived.age_ms > NOW_MS - DAY_MS
        known = place == REGION or any(lived.watched(v) or lived.took_to(v) for v in mine if ITEMS[v].category == place)
        return known and fresh == reason.startswith("Trending")
    truths = {
        PLAIN: True,
        "Because of what you watched or enjoyed": any(map(lived.watched, mine)),
        "Similar to videos you enjoyed": any(map(lived.took_to, mine)),
        "From a creator you follow": lived.follows(one.creator_id),
        "Just uploaded": NOW_MS - (ITEMS[video_id].uploaded_ms or 0) < 3 * DAY_MS,
        "Popular today": lived.popular(video_id, within_ms=DAY_MS),
        "Popular": lived.popular(video_id, within_ms=400 * DAY_MS),
        "Trending now": lived.age_ms < DAY_MS,
        "Something new for you": not lived.shown(video_id),
    }
    return truths[reason]


@st.composite
def lives(draw: st.DrawFn) -> Lived:
    """Histories in order of time."""
    age_ms = draw(st.sampled_from([60_000, 3_600_000, 3 * DAY_MS, 200 * DAY_MS]))
    kinds = st.sampled_from([*Kind, Kind.WATCH_TIME, Kind.SKIP, Kind.LIKE, Kind.NOT_INTERESTED])

    def events(name: str, most: int) -> list[RawEvent]:
        drawn = draw(st.lists(st.tuples(st.integers(0, VIDEOS - 1), kinds, st.sampled_from([0.4, 2.9, 4.0, 6.0, 10.0])), max_size=most))
        return [
            did(kind, f"v{video}", NOW_MS - age_ms + n, name=f"{name}{n}", value=seconds if kind is Kind.WATCH_TIME else None)
            for n, (video, kind, seconds) in enumerate(drawn)
        ]

    return Lived(events("m", 25), events("t", 10), draw(st.lists(st.sampled_from(sorted(ITEMS)), max_size=3)), age_ms)


@settings(max_examples=150, deadline=None)
@given(lives(), st.integers(1, 14))
def test_every_reason_is_true_by_what_the_person_did(lived: Lived, limit: int) -> None:
    loop = ClosedLoop(CATALOGUE, now_ms=NOW_MS)
    for other in ("a", "b"):
        loop.remember(UserHistory(user_id=other, watched=sorted(ITEMS)))
    if lived.theirs:
        loop.happen("a", lived.theirs, context=Context(region=REGION))
    if lived.mine:
        loop.happen("me", lived.mine)
    for video_id in lived.gone:
        loop.delist(video_id)
    for one in loop.ask("me", limit=limit, context=Context(region=REGION)).items:
        assert is_true(one.recommendation_reason, one, lived), (one.video_id, one.source, one.recommendation_reason)


def test_a_skip_a_glance_and_a_dislike_are_no_seeds_and_a_watch_is() -> None:
    said = {}
    lives: dict[str, list[tuple[Kind, float | None]]] = {
        "skipped": [(Kind.WATCH_TIME, 4.0), (Kind.SKIP, None)],
        "glanced": [(Kind.IMPRESSION, None), (Kind.WATCH_TIME, 0.4)],
        "disliked": [(Kind.LIKE, None), (Kind.NOT_INTERESTED, None)],
        "watched": [(Kind.WATCH_TIME, 6.0)],
        "liked": [(Kind.LIKE, None)],
    }
    for name, kinds in lives.items():
        loop = ClosedLoop(CATALOGUE, now_ms=NOW_MS)
        loop.remember(UserHistory(user_id="other", watched=sorted(ITEMS)))
        loop.happen("me", [did(kind, "v1", NOW_MS - 100 + n, name=str(n), value=value) for n, (kind, value) in enumerate(kinds)])
        said[name] = {one.recommendation_reason for one in loop.ask("me").items if one.source == "neighbours"}
    assert said == {
        "skipped": set(),
        "glanced": set(),
        "disliked": set(),
        "watched": {"Because you watched title 1"},
        "liked": {"Because you enjoyed title 1"},
    }


class Silent(FollowedCreators):
    """A source that cannot say why."""

    def because(self, query: object, rows: object) -> list[str]:
        """Fail."""
        raise ValueError(query, rows)


def test_a_source_without_words_gets_plain_ones_and_the_others_their_own() -> None:
    outcome = merged([np.array([0])], Keyed())
    query = ask(tables([item("a")]), state(recent=taken(["a"])))
    mains = [Silent(), WholeCatalogue(), FollowedCreators()]
    assert reasons(query, [0, 0, 0], mains, outcome) == [PLAIN, PLAIN, "From a creator you follow"]
    assert list(outcome.errors) == ["words of followed"]
