"""The simulated world: videos of some categories, people with drifting tastes, and what they do with a page of videos."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import msgspec

from schemas.catalog import CatalogItem
from schemas.feed import FeedItem, FeedResponse
from schemas.telemetry import Context, InteractionType, RawEvent

CATEGORIES: dict[str, tuple[str, ...]] = {
    "cooking": ("pasta", "bread", "knife", "sauce", "grill", "spice"),
    "football": ("goal", "dribble", "keeper", "derby", "penalty", "coach"),
    "dance": ("step", "battle", "salsa", "routine", "studio", "spin"),
    "cats": ("kitten", "purr", "tail", "nap", "whisker", "box"),
    "travel": ("island", "train", "market", "sunset", "hostel", "map"),
    "gaming": ("boss", "speedrun", "loot", "quest", "combo", "glitch"),
    "music": ("guitar", "chorus", "remix", "drum", "vinyl", "encore"),
    "science": ("planet", "atom", "lab", "fossil", "robot", "laser"),
    "fashion": ("denim", "jacket", "runway", "thrift", "sneaker", "hat"),
    "diy": ("drill", "paint", "shelf", "glue", "wood", "lamp"),
    "fitness": ("squat", "yoga", "sprint", "plank", "stretch", "swim"),
    "comedy": ("prank", "sketch", "standup", "parody", "dog", "boss"),
}
REGIONS = ("DE", "FR", "PL", "ES")
LANGUAGE = "en"
MINUTE_MS = 60_000
REGIONAL, UNKNOWN_LANGUAGE = 0.15, 0.2
"""Shares of the videos that are for one region only, and of which no language is known."""
FINISHED = 0.9
"""Share of a video from which on a person's player says that it was completed."""
_What = tuple[InteractionType, float | None, bool | None]
_MILESTONES = ((0.25, InteractionType.WATCH_25), (0.5, InteractionType.WATCH_50), (0.75, InteractionType.WATCH_75))


@dataclass(slots=True)
class Person:
    """One simulated person; `tastes` maps a category to its share of interest (they sum to 1)."""

    user_id: str
    region: str
    tastes: dict[str, float]
    patience: float
    events: int = 0
    liked: list[str] = field(default_factory=list)


class World:
    """Videos, people and their reactions, all from one seed.

    A person watches a share of a video that grows with the interest in its category and with the video's own quality, and likes, shares,
    follows or skips by it; tastes drift a little with every page, so that a feed that stands still loses them.

    Parameters
    ----------
    seed : int
        Everything follows from it but the times, which the caller gives.
    people, videos : int
        How many of each, at least 1.
    drift : float
        Share of a person's taste that is drawn anew with every page, 0 (never) to 1.
    """

    def __init__(self, *, seed: int = 0, people: int = 200, videos: int = 1_000, drift: float = 0.01) -> None:
        self.seed = seed
        self.drift = drift
        rng = random.Random(seed)
        self.people = [self._person(rng, i) for i in range(people)]
        self._categories = list(CATEGORIES)
        self._quality: dict[str, float] = {}
        self._category: dict[str, str] = {}
        self._duration_s: dict[str, float] = {}
        self._specs = [self._spec(rng, i, videos) for i in range(videos)]

    def _person(self, rng: random.Random, number: int) -> Person:
        return Person(f"sim-{self.seed}-{number}", rng.choice(REGIONS), self._tastes(rng), patience=rng.uniform(0.5, 1.0))

    @staticmethod
    def _tastes(rng: random.Random) -> dict[str, float]:
        draws = {category: rng.gammavariate(0.25, 1.0) + 1e-6 for category in CATEGORIES}
        total = sum(draws.values())
        return {category: draw / total for category, draw in draws.items()}

    def _spec(self, rng: random.Random, number: int, videos: int) -> tuple[CatalogItem, float]:
        category = rng.choice(self._categories)
        words = CATEGORIES[category]
        video_id = f"v-{self.seed}-{number}"
        chosen = rng.sample(words, 3)
        self._quality[video_id] = rng.gauss(0.0, 0.6)
        self._category[video_id] = category
        self._duration_s[video_id] = rng.randrange(8, 60)
        age_minutes = rng.expovariate(1 / (3 * 24 * 60))
        # Of its own, so that where a video is shown leaves all else of a world as it is.
        place = random.Random(f"{self.seed}/{number}")
        item = CatalogItem(
            video_id=video_id,
            creator_id=f"c-{self.seed}-{category}-{rng.randrange(max(videos // 80, 1))}",
            title=f"{chosen[0]} {chosen[1]} {number}",
            description=" ".join(chosen),
            tags=(category, chosen[2]),
            category=category,
            audio_id=f"a-{rng.randrange(max(videos // 5, 1))}",
            duration_ms=int(self._duration_s[video_id] * 1000),
            region=place.choice(REGIONS) if place.random() < REGIONAL else None,
            language=None if place.random() < UNKNOWN_LANGUAGE else LANGUAGE,
            video_url=f"https://cdn.example/{video_id}/master.m3u8",
            thumbnail_url=f"https://cdn.example/{video_id}/thumbnail.jpg",
        )
        return item, age_minutes

    def catalogue(self, now_ms: int) -> list[CatalogItem]:
        """Return all videos, uploaded before `now_ms`."""
        return [_uploaded(item, now_ms - int(age * MINUTE_MS)) for item, age in self._specs]

    def category(self, video_id: str) -> str | None:
        """Return a video's category, None for one of another world."""
        return self._category.get(video_id)

    def react(self, person: Person, page: FeedResponse, now_ms: int) -> list[RawEvent]:
        """Return what the person does with a page, in order, from `now_ms` on; the person's tastes drift with it.

        A watch takes a hundredth of its logged length, so that a simulated evening fits a minute.
        """
        rng = random.Random(f"{self.seed}/{person.user_id}/{person.events}")
        events: list[RawEvent] = []
        at_ms = now_ms
        bored = 0.0
        for item in page.items:
            liking = self._liking(person, item)
            share = min(1.0, max(0.02, rng.betavariate(1 + 6 * liking, 1 + 6 * (1 - liking))))
            watch_s = round(share * self._duration_s.get(item.video_id, 30.0), 3)
            view = _view(liking, share, watch_s, rng)
            events += [self._event(person, item, each, at_ms + n) for n, each in enumerate(view)]
            at_ms += max(int(watch_s * 10), len(view))
            bored = bored * 0.5 + (1 - share)
            if bored > 1.6 * person.patience + 0.2:
                break
        self._move(person, rng)
        return events

    def _liking(self, person: Person, item: FeedItem) -> float:
        category = self._category.get(item.video_id)
        interest = person.tastes.get(category, 0.0) if category is not None else 0.0
        return 1 / (1 + math.exp(-(8 * interest - 1.5 + self._quality.get(item.video_id, 0.0))))

    def _event(self, person: Person, item: FeedItem, what: _What, at_ms: int) -> RawEvent:
        kind, value, completed = what
        person.events += 1
        if kind is InteractionType.LIKE:
            person.liked.append(item.video_id)
        return RawEvent(
            event_id=f"{person.user_id}-{at_ms}-{person.events}",
            video_id=item.video_id,
            interaction_type=kind,
            timestamp=at_ms,
            value=value,
            completed=completed,
            context=Context(region=person.region, language=LANGUAGE),
            tracking_token=item.tracking_token,
        )

    def _move(self, person: Person, rng: random.Random) -> None:
        fresh = self._tastes(rng)
        person.tastes = {category: (1 - self.drift) * share + self.drift * fresh[category] for category, share in person.tastes.items()}


def _view(liking: float, share: float, watch_s: float, rng: random.Random) -> list[_What]:
    """Return the interactions of one view: how liked the video is (0 to 1), the share and the seconds that were watched.

    What a watch to the end means beside (a finish, a long view) is not sent: the watch time says it.
    """
    kinds = [InteractionType.IMPRESSION, *(kind for mark, kind in _MILESTONES if share >= mark)]
    odds = (
        (InteractionType.LIKE, 0.5 * liking**2),
        (InteractionType.SHARE, 0.05 * liking),
        (InteractionType.FOLLOW, 0.03 * liking),
        (InteractionType.SKIP, 1.0 if share < 0.15 else 0.0),
        (InteractionType.NOT_INTERESTED, 0.01 if liking < 0.2 else 0.0),
    )
    watch: _What = (InteractionType.WATCH_TIME, watch_s, share >= FINISHED)
    return [*((kind, None, None) for kind in kinds), watch, *((kind, None, None) for kind, chance in odds if rng.random() < chance)]


def _uploaded(item: CatalogItem, at_ms: int) -> CatalogItem:
    return msgspec.structs.replace(item, uploaded_ms=at_ms)
