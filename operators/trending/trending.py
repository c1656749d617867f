"""Trending lists: global, by region, by category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from zlib import crc32

from operators.base import BucketedOperator, Example, State
from operators.ingest.repeats import RepeatFold
from operators.interactions import MEANINGS, counted_as
from operators.trending.scores import Scores, join, split
from schemas.features import GLOBAL_SCOPE, TrendingList, category_scope, region_scope
from schemas.locale import region_of
from schemas.sharding import shard_of
from schemas.telemetry import Context, Event, InteractionType, Origin

BUCKETS = 128

HALF_LIFE = timedelta(hours=24)
"""Time in which an interaction loses half of its weight."""

_WEIGHTS = {kind: meaning.trending for kind, meaning in MEANINGS.items()}


class Trending(BucketedOperator[Event, TrendingList]):
    """The videos most taken to in each scope: `global`, `region:XX` (of the event's context), `category:NAME` (of the video).

    Score: s_v(now) = Σ w(interaction) · 2^(-(now - t) / half_life), in event time, w as operators.interactions says: what is taken back
    takes its weight back. A list tells its scores as of the newest event of its
    scope. An event that comes again after a crash is counted once.

    Parameters
    ----------
    half_life
        Time in which an interaction loses half of its weight. Shorter follows the hour, longer the week. A day was best on a public
        short-video log.
    listed
        Videos in the global list; the lists of regions and categories hold a fifth.
    max_videos
        Videos kept of a scope; the lower quarter is dropped when there are more.
    max_scopes
        Regions and categories kept, at least BUCKETS; the one that was silent for longest goes, and an empty list says so.

    Examples
    --------
    >>> def like(video, at_ms, n):
    ...     return Event(event_id=str(n), user_id="u", video_id=video, interaction_type=InteractionType.LIKE, timestamp_ms=at_ms,
    ...         received_ms=at_ms, origin=Origin(0, n, 0))
    >>> trending = Trending(half_life=timedelta(hours=1))
    >>> trending.on_batch([like("old", 0, 0), like("old", 0, 1), like("new", 7_200_000, 2), like("new", 7_200_000, 2)])
    []
    >>> [(one.scope, one.video_ids, one.scores) for one in trending.on_time(0)]
    [('global', ['new', 'old'], [2.0, 1.0])]
    """

    def __init__(
        self,
        *,
        half_life: timedelta = HALF_LIFE,
        listed: int = 500,
        max_videos: int = 50_000,
        max_scopes: int = 2_048,
    ) -> None:
        if half_life <= timedelta(0):
            msg = f"expected a positive half_life, got {half_life}"
            raise ValueError(msg)
        if max_scopes < BUCKETS or max_videos < 4 or listed < 5:
            msg = f"expected max_scopes >= {BUCKETS}, max_videos >= 4, listed >= 5, got {max_scopes}, {max_videos}, {listed}"
            raise ValueError(msg)
        self.half_life = half_life
        self.listed = listed
        self.max_videos = max_videos
        self.max_scopes = max_scopes
        self._half_life_ms = half_life // timedelta(milliseconds=1)
        self._fold = RepeatFold()
        self._scopes: dict[int, dict[str, Scores]] = {}
        self._changed: dict[str, None] = {}

    @property
    def pending(self) -> bool:
        """Whether a list has changed since it was told."""
        return bool(self._changed)

    def on_batch(self, batch: Sequence[Event]) -> list[TrendingList]:
        """Count what is new of videos that the catalogue holds; lists are told by `on_time`."""
        for event in batch:
            if not self._fold.admits(event.origin, shard_of(event.user_id)):
                continue
            weight = weight_of(event)
            if weight and event.listed:
                for scope in scopes_of(event):
                    self._scores(scope).add(event.video_id, weight, event.timestamp_ms)
                    self._changed[scope] = None
        return []

    def on_time(self, now_ms: int) -> list[TrendingList]:
        """Return the lists that changed since the last call; an empty one for a scope that is no longer kept."""
        lists = [self._list(scope) for scope in sorted(self._changed)]
        self._changed.clear()
        return lists

    def touched(self, batch: Sequence[Event]) -> Iterable[int]:
        """Return the buckets of the scopes that these events count in."""
        return {bucket_of(scope) for event in batch if weight_of(event) for scope in scopes_of(event)}

    def snapshot_head(self) -> State:
        """Return marks of what was taken in, and what waits to be told."""
        return {"version": self.VERSION, "marks": self._fold.snapshot(), "changed": sorted(self._changed)}

    def restore_head(self, state: State) -> None:
        """Take back what `snapshot_head` returned."""
        self.check_version(state)
        self._fold.restore(state["marks"])
        self._changed = dict.fromkeys(state["changed"])

    def snapshot_bucket(self, bucket: int) -> bytes:
        """Return the scores of a bucket's scopes."""
        return join([(name, scores.pack()) for name, scores in self._scopes.get(bucket, {}).items()])

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        """Take back what `snapshot_bucket` returned."""
        kept = self._scopes[bucket] = {}
        for name, packed in split(state) if state else ():
            kept[name] = Scores(half_life_ms=self._half_life_ms, most=self.max_videos)
            kept[name].unpack(packed)

    def buckets(self) -> Iterable[int]:
        """Return the buckets that hold scopes, ascending."""
        return sorted(self._scopes)

    def _scores(self, scope: str) -> Scores:
        kept = self._scopes.setdefault(bucket_of(scope), {})
        scores = kept.get(scope)
        if scores is None:
            if len(kept) >= self.max_scopes // BUCKETS:
                self._forget_one(kept)
            scores = kept[scope] = Scores(half_life_ms=self._half_life_ms, most=self.max_videos)
        return scores

    def _forget_one(self, kept: dict[str, Scores]) -> None:
        others = [name for name in kept if name != GLOBAL_SCOPE]
        if others:
            silent = min(others, key=lambda name: (kept[name].newest_ms, name))
            del kept[silent]
            self._changed[silent] = None

    def _list(self, scope: str) -> TrendingList:
        scores = self._scopes.get(bucket_of(scope), {}).get(scope)
        if scores is None:
            return TrendingList(scope=scope, as_of_ms=0, half_life_ms=self._half_life_ms, video_ids=[], scores=[])
        ids, values = scores.top(self.listed if scope == GLOBAL_SCOPE else self.listed // 5)
        return TrendingList(scope=scope, as_of_ms=scores.newest_ms, half_life_ms=self._half_life_ms, video_ids=ids, scores=values)

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield examples for the contract checks."""

        def newest(lists: list[TrendingList]) -> list[TrendingList]:
            by_scope = {one.scope: one for one in lists}
            return [by_scope[scope] for scope in sorted(by_scope)]

        def event(n: int, *, user: int, video: int, at_ms: int, tag: int) -> Event:
            kinds = list(InteractionType)
            return Event(
                event_id=str(n),
                user_id=str(user),
                video_id=f"v{video}",
                interaction_type=kinds[n * 7 % len(kinds)],
                timestamp_ms=at_ms,
                received_ms=at_ms,
                origin=Origin(n % 2, n, 0),
                context=Context(region=("NL", "JP", None)[n % 3]),
                category=f"t{tag}" if tag else None,
            )

        def some(n: int) -> Event:
            return event(n, user=n % 5, video=n % 23, at_ms=n * 60_000 - (n % 4) * 3_600_000 + 20_000_000, tag=n % 6)

        events = [some(n) for n in range(60)]
        # again after a crash, and one from years later
        events += [events[58], events[59], event(60, user=1, video=3, at_ms=10**12, tag=2), some(61), some(62)]
        yield Example(make=lambda: cls(half_life=timedelta(minutes=30)), events=events, folded=newest)
        yield Example(
            make=lambda: cls(max_videos=8, max_scopes=BUCKETS, listed=5),
            events=events,
            folded=newest,
            endless=lambda n: event(n, user=n % 9, video=n, at_ms=n * 1_000, tag=n),
            bound=2_500,
        )


def weight_of(event: Event) -> float:
    """Return what an event adds to the scores of its video."""
    return sum(_WEIGHTS[kind] for kind in counted_as(event))


def scopes_of(event: Event) -> list[str]:
    """Return the scopes that an event counts in."""
    scopes = [GLOBAL_SCOPE]
    region = None if event.context is None else region_of(event.context.region)
    if region is not None:
        scopes.append(region_scope(region))
    if event.category:
        scopes.append(category_scope(event.category))
    return scopes


def bucket_of(scope: str) -> int:
    """Return the bucket of a scope."""
    return crc32(scope.encode()) % BUCKETS
