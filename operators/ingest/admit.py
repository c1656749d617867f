"""Admission: each event once, joined with the catalogue as it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import msgspec
import numpy as np

from operators.base import BucketedOperator, Example, State
from operators.ingest.arrivals import Candidate, Parsed, Upsert
from schemas.dlq import DeadLetter, ReasonCode
from schemas.telemetry import Event, Origin

Arrival: TypeAlias = Parsed | Upsert
Admitted: TypeAlias = Event | DeadLetter

ID_BUCKETS = 64
VIDEO_BUCKETS = 64


class _Video(NamedTuple):
    creator_id: str | None
    tags: tuple[str, ...]
    duration_ms: int | None


class _Ids:
    """Ids of one bucket in two generations; the older one is forgotten when the newer is full or old enough."""

    __slots__ = ("newer", "older", "opened_ms")

    def __init__(self) -> None:
        self.newer: set[int] = set()
        self.older: set[int] = set()
        self.opened_ms = 0

    def rotate(self, now_ms: int) -> None:
        self.older, self.newer, self.opened_ms = self.newer, set(), now_ms


class Admission(BucketedOperator[Arrival, Admitted]):
    """Lets each event through once, with its video's creator, tags and duration; repeats become dead letters.

    An id is remembered, as 64 bits of a hash of person and event id, for at least `horizon` after it came, by the broker's clock, unless
    more than `capacity` ids come in that time. False repeats: below capacity²/2⁶⁴, 10⁻⁷ at the default.

    Parameters
    ----------
    horizon
        How long a repeat can be told; longer takes more memory.
    capacity
        Ids in memory at most, about 90 bytes each.
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
    ['Event', 'DeadLetter']
    """

    def __init__(self, *, horizon: timedelta = timedelta(hours=24), capacity: int = 1_000_000, max_videos: int = 1_000_000) -> None:
        if capacity < 2 * ID_BUCKETS:
            text = f"expected at least {2 * ID_BUCKETS}, got {capacity}, at capacity"
            raise ValueError(text)
        self.horizon = horizon
        self.capacity = capacity
        self.max_videos = max_videos
        self._horizon_ms = horizon // timedelta(milliseconds=1)
        self._most = capacity // (2 * ID_BUCKETS)
        self._ids = [_Ids() for _ in range(ID_BUCKETS)]
        self._videos: list[dict[str, _Video]] = [{} for _ in range(VIDEO_BUCKETS)]
        self._n_videos = 0

    def touched(self, batch: Sequence[Arrival]) -> Iterable[int]:
        """Return the buckets of the ids and videos of a batch."""
        for arrival in batch:
            if isinstance(arrival, Upsert):
                yield ID_BUCKETS + _video_bucket(arrival.video_id)
            else:
                for candidate in arrival.candidates:
                    yield _id_bucket(candidate.user_id)

    def on_batch(self, batch: Sequence[Arrival]) -> list[Admitted]:
        """Return events and dead letters, in the order of the raw records."""
        admitted: list[Admitted] = []
        for arrival in batch:
            if isinstance(arrival, Upsert):
                self._upsert(arrival)
                continue
            admitted += arrival.letters
            repeats: list[Candidate] = []
            for candidate in arrival.candidates:
                if self._is_new(candidate):
                    admitted.append(self._event(candidate))
                else:
                    repeats.append(candidate)
            if repeats:
                whole = len(repeats) == len(arrival.candidates) and not arrival.letters
                admitted += repeats[0].record.bounded(list(_letters(repeats, whole=whole)))
        return admitted

    def _is_new(self, candidate: Candidate) -> bool:
        ids = self._ids[_id_bucket(candidate.user_id)]
        name = f"{candidate.user_id}\0{candidate.event.event_id}".encode()
        number = int.from_bytes(blake2b(name, digest_size=8).digest())
        if number in ids.newer or number in ids.older:
            return False
        received_ms = candidate.record.received_ms
        if len(ids.newer) >= self._most or received_ms - ids.opened_ms >= self._horizon_ms:
            ids.rotate(received_ms)
        ids.newer.add(number)
        return True

    def _event(self, candidate: Candidate) -> Event:
        record, raw = candidate.record, candidate.event
        video = self._videos[_video_bucket(raw.video_id)].get(raw.video_id, _UNKNOWN)
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
            creator_id=video.creator_id,
            tags=video.tags,
            duration_ms=video.duration_ms,
        )

    def _upsert(self, upsert: Upsert) -> None:
        videos = self._videos[_video_bucket(upsert.video_id)]
        known = upsert.video_id in videos
        if upsert.item is None:
            videos.pop(upsert.video_id, None)
            self._n_videos -= known
        elif known or self._n_videos < self.max_videos:
            videos[upsert.video_id] = _Video(upsert.item.creator_id, upsert.item.tags, upsert.item.duration_ms)
            self._n_videos += not known

    def snapshot_head(self) -> State:
        """Return nothing but the version: all state is in buckets."""
        return {"version": self.VERSION}

    def restore_head(self, state: State) -> None:
        """Check the version."""
        self.check_version(state)

    def snapshot_bucket(self, bucket: int) -> bytes:
        """Return a bucket's ids or videos."""
        if bucket >= ID_BUCKETS:
            videos = self._videos[bucket - ID_BUCKETS]
            return msgspec.msgpack.encode(videos) if videos else b""
        ids = self._ids[bucket]
        if not ids.newer and not ids.older:
            return b""
        numbers = [np.sort(np.fromiter(one, np.uint64, len(one))) for one in (ids.newer, ids.older)]
        head = np.array([ids.opened_ms, len(numbers[0])], np.int64)
        return head.tobytes() + numbers[0].tobytes() + numbers[1].tobytes()

    def restore_bucket(self, bucket: int, state: bytes) -> None:
        """Take back what `snapshot_bucket` returned."""
        if bucket >= ID_BUCKETS:
            videos = msgspec.msgpack.decode(state, type=dict[str, _Video]) if state else {}
            self._n_videos += len(videos) - len(self._videos[bucket - ID_BUCKETS])
            self._videos[bucket - ID_BUCKETS] = videos
            return
        ids = self._ids[bucket] = _Ids()
        if state:
            opened_ms, n_newer = np.frombuffer(state, np.int64, 2).tolist()
            numbers = np.frombuffer(state, np.uint64, offset=16).tolist()
            ids.opened_ms, ids.newer, ids.older = opened_ms, set(numbers[:n_newer]), set(numbers[n_newer:])

    def buckets(self) -> Iterable[int]:
        """Return the buckets that hold ids or videos."""
        yield from (bucket for bucket, ids in enumerate(self._ids) if ids.newer or ids.older)
        yield from (ID_BUCKETS + bucket for bucket, videos in enumerate(self._videos) if videos)

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield a stream with repeats, unknown videos and changes of the catalogue."""
        from operators.ingest.admission_examples import arrival, arrivals

        yield Example(make=lambda: cls(capacity=4 * ID_BUCKETS), events=arrivals(seed=1, n=120), endless=arrival, bound=4_000)
        yield Example(make=lambda: cls(horizon=timedelta(seconds=5)), events=arrivals(seed=2, n=120))


_UNKNOWN = _Video(None, (), None)


def _id_bucket(user_id: str) -> int:
    return crc32(user_id.encode()) % ID_BUCKETS


def _video_bucket(video_id: str) -> int:
    return crc32(video_id.encode()) % VIDEO_BUCKETS


def _letters(repeats: list[Candidate], *, whole: bool) -> Iterator[DeadLetter]:
    """Yield one letter for a record that came again as a whole, else one for each event, so that a retried batch is kept once."""
    for candidate in repeats[:1] if whole else repeats:
        yield candidate.record.letter(
            ReasonCode.DUPLICATE,
            expected=f"{len(repeats)} new events" if whole else "a new event_id",
            got="events that were all counted already" if whole else "one that was counted already",
            path="$.events" if whole else f"$.events[{candidate.place}].event_id",
            index=-1 if whole else candidate.place,
            event_id=candidate.event.event_id,
        )
