"""Admission: each event once, joined with the catalogue as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from operators.base import BucketedOperator, Example, State
from operators.ingest.arrivals import Candidate, Parsed, Upsert
from operators.ingest.ids import RecentIds, slice_of
from operators.ingest.videos import VIDEO_BUCKETS, Video, Videos, bucket_of
from operators.interactions import implied
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import Event, InteractionType, Origin

VIEW_MS = 1_800_000
"""A person's finishes, and long views, of one video in the same half hour or in two that follow each other are one."""
SAMPLE_MS = 60_000
"""Of the repeats of a raw partition one in this time makes a letter."""


class Repeats(NamedTuple):
    """So many events of a record had been counted already."""

    n: int


Arrival: TypeAlias = Parsed | Upsert
Admitted: TypeAlias = Event | DeadLetter | Repeats

_K = InteractionType
_ONCE = frozenset({_K.FINISH, _K.LONG_VIEW})
_OF_A_VIEW = _ONCE | {_K.WATCH_TIME, _K.WATCH_25, _K.WATCH_50, _K.WATCH_75}


class Admission(BucketedOperator[Arrival, Admitted]):
    """Lets each event through once, with what the catalogue says of its video and what it implies.

    Repeats are counted; a letter is made of the first one that a raw partition has in a minute of the broker's clock.

    A person's `finish`, and `long_view`, of a video counts once for a view, whether it was sent or is implied, in whatever order they come.
    It is the same view where one was counted in the same half hour of event time (since the epoch), the one before or the one after. What
    is implied again is left out of `implies`; what is sent again has `repeated`. An event of source `upstream` implies nothing and repeats
    nothing. Views are remembered like event ids, and count towards the capacity.

    Parameters
    ----------
    capacity, horizon
        How many event ids are remembered at most, and for how long: operators.ingest.ids.RecentIds.
    max_videos
        Videos of the catalogue in memory at most; those beyond are not joined.

    Examples
    --------
    >>> from operators.ingest.arrivals import RawRecord
    >>> from schemas.telemetry import RawEvent
    >>> record = RawRecord("telemetry.raw", 0, 7, 1_000, b"u", b"...")
    >>> like = RawEvent(event_id="e", video_id="v", interaction_type="like", timestamp=1_000)
    >>> admission = Admission()
    >>> parsed = Parsed([Candidate(record, 0, "u", None, like, None), Candidate(record, 1, "u", None, like, None)], [])
    >>> [type(one).__name__ for one in admission.on_batch([parsed])]
    ['Event', 'Repeats', 'DeadLetter']
    """

    VERSION = 2

    def __init__(self, *, horizon: timedelta = timedelta(hours=24), capacity: int = 10_000_000, max_videos: int = 1_000_000) -> None:
        self.horizon = horizon
        self.capacity = capacity
        self.max_videos = max_videos
        self.ids = RecentIds(capacity=capacity, horizon=horizon)
        self.videos = Videos(most=max_videos)
        self._sampled: dict[int, int] = {}

    @property
    def forgets_after(self) -> timedelta:
        """How long ids are remembered right now."""
        return timedelta(seconds=self.ids.horizon_s)

    def has_forgotten(self, bucket: int) -> bool:
        """Return whether no id of a bucket is held any more; videos stay."""
        return bucket >= VIDEO_BUCKETS and not self.ids.holds_slice(bucket - VIDEO_BUCKETS)

    def touched(self, batch: Sequence[Arrival]) -> Iterable[int]:
        """Return the buckets of the ids and videos of a batch."""
        for arrival in batch:
            if isinstance(arrival, Upsert):
                yield bucket_of(arrival.video_id)
            elif arrival.candidates:
                yield VIDEO_BUCKETS + slice_of(arrival.candidates[0].record.received_ms)

    def on_batch(self, batch: Sequence[Arrival]) -> list[Admitted]:
        """Return events and dead letters in the order of the raw records, and how many repeats were among them."""
        admitted: list[Admitted] = []
        for arrival in batch:
            if isinstance(arrival, Upsert):
                self.videos.upsert(arrival)
                continue
            admitted += arrival.letters
            repeats: list[Candidate] = []
            for candidate in arrival.candidates:
                name = f"{candidate.user_id}\0{candidate.event.event_id}"
                if self.ids.add(_number(name), candidate.record.received_ms):
                    admitted.append(self._event(candidate))
                else:
                    repeats.append(candidate)
            if repeats:
                admitted.append(Repeats(len(repeats)))
                admitted += self._sample(repeats, whole=len(repeats) == len(arrival.candidates) and not arrival.letters)
        return admitted

    def _event(self, candidate: Candidate) -> Event:
        record, raw = candidate.record, candidate.event
        video = self.videos.get(raw.video_id)
        known = video or _UNKNOWN
        implies, repeated = self._meant(candidate, known.duration_ms)
        return Event(
            event_id=raw.event_id,
            user_id=candidate.user_id,
            video_id=raw.video_id,
            interaction_type=raw.interaction_type,
            timestamp_ms=raw.timestamp,
            received_ms=record.received_ms,
            origin=Origin(record.partition, record.offset, candidate.place),
            value=candidate.value,
            completed=raw.completed,
            device_id=candidate.device_id,
            context=raw.context,
            tracking_token=raw.tracking_token,
            source=raw.source,
            creator_id=known.creator_id,
            tags=known.tags,
            duration_ms=known.duration_ms,
            category=known.category,
            listed=video is not None,
            implies=implies,
            repeated=repeated,
        )

    def _meant(self, candidate: Candidate, duration_ms: int | None) -> tuple[tuple[InteractionType, ...], bool]:
        """Return what an event implies that its view has not had yet, and whether the view had the event's own type."""
        raw = candidate.event
        kind = raw.interaction_type
        if kind not in _OF_A_VIEW or raw.source == "upstream":
            return (), False
        view = _number(f"{candidate.user_id}\0{raw.video_id}\0")
        repeated = kind in _ONCE and not self._is_first(view, kind, candidate)
        found = implied(kind, value=candidate.value, completed=raw.completed, duration_ms=duration_ms, source=raw.source)
        return tuple(one for one in found if self._is_first(view, one, candidate)), repeated

    def _is_first(self, view: int, kind: InteractionType, candidate: Candidate) -> bool:
        """Return whether a view has not had this yet, and remember that it has it now."""
        own = candidate.event.timestamp // VIEW_MS
        if _at(view, kind, own - 1) in self.ids or _at(view, kind, own + 1) in self.ids:
            return False
        return self.ids.add(_at(view, kind, own), candidate.record.received_ms)

    def _sample(self, repeats: list[Candidate], *, whole: bool) -> Iterator[DeadLetter]:
        """Yield the letter of a record's repeats where it is the first of its partition in this minute."""
        first = repeats[0]
        partition, minute = first.record.partition, first.record.received_ms // SAMPLE_MS
        if minute <= self._sampled.get(partition, -1):
            return
        self._sampled[partition] = minute
        yield first.record.letter(
            ReasonCode.DUPLICATE,
            expected=f"{len(repeats)} new events" if whole else "a new event_id",
            got="events that were all counted already" if whole else "one that was counted already",
            path="$.events" if whole else f"$.events[{first.place}].event_id",
            index=-1 if whole else first.place,
            event_id=first.event.event_id,
        )

    def snapshot_head(self) -> State:
        """Return what is in no bucket: the generations of ids, and when repeats were last sampled."""
        return {"version": self.VERSION, "ids": self.ids.head(), "sampled": dict(self._sampled)}

    def restore_head(self, state: State) -> None:
        """Take back what `snapshot_head` returned."""
        self.check_version(state)
        self.ids.restore_head(state["ids"])
        self._sampled = dict(state["sampled"])

    def snapshot_bucket(self, bucket: int) -> bytes:
        """Return a bucket's videos or ids."""
        return self.videos.snapshot(bucket) if bucket < VIDEO_BUCKETS else self.ids.snapshot_slice(bucket - VIDEO_BUCKETS)

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        """Take back what `snapshot_bucket` returned."""
        if bucket < VIDEO_BUCKETS:
            self.videos.restore(bucket, state)
        else:
            self.ids.restore_slice(bucket - VIDEO_BUCKETS, state)

    def buckets(self) -> Iterable[int]:
        """Return the buckets that hold videos or ids."""
        return [*self.videos.buckets(), *(VIDEO_BUCKETS + one for one in sorted(self.ids.slices()))]

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a stream with repeats, unknown videos, views and changes of the catalogue."""
        from operators.ingest.admission_examples import arrival, arrivals

        yield Example(make=lambda: cls(capacity=256), events=arrivals(seed=1, n=120), endless=arrival, bound=4_000)
        yield Example(make=lambda: cls(horizon=timedelta(seconds=6), capacity=1_000), events=arrivals(seed=2, n=120))


_UNKNOWN = Video(None, (), None, None)


def _number(name: str) -> int:
    """Return 64 bits of a hash. Ids hold no zero character, so that names of events and of views differ in how many they have."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())


def _at(view: int, kind: InteractionType, half_hour: int) -> int:
    return (view + (2 * half_hour + (kind is _K.FINISH)) * 0x9E3779B97F4A7C15) % 2**64
