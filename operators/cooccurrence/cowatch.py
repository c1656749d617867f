"""Neighbours of videos, from who watches what together."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.base import Example, State, StreamOperator
from operators.cooccurrence.example_watches import cowatch_examples
from operators.cooccurrence.pairs import PairCounts
from operators.cooccurrence.people import LastWatched, People
from operators.cooccurrence.videos import WatchedVideos
from operators.cooccurrence.watched import How, WatchedBefore, Watching
from operators.cooccurrence.weights import COSINE, four_digits, heaviest, weights_of
from operators.ingest.repeats import RepeatFold
from schemas.features import Neighbours
from schemas.sharding import shard_of

_ROWS_EACH = 256
_Block: TypeAlias = tuple[int, bytes, bytes, bytes, bytes]


class CoWatch(StreamOperator[Watching, Neighbours]):
    """Counts pairs of videos watched by one person within `recent` distinct watches of each other; tells neighbours.

    When somebody watches v for the first time, n_v grows by 1, and so does C[j, v] = C[v, j] for each j of the last `recent` distinct
    videos that this person watched. The weight of the neighbour v of j is

        C[j, v] / (n_j · (n_v + 5))^popularity

    What is taken back is paired with nothing watched later. What people watched before the stream goes before what is known of them. What
    comes again after a crash is counted once. Limits are kept every `tidy_every` first watches, whatever the batches.

    Parameters
    ----------
    recent
        Distinct watches before a new one that it is paired with, 1 to `remembered`.
    remembered
        Distinct watches by which a first watch is told from a repeated one.
    popularity
        How far videos that everybody watches are held down, from 0 (not at all) over 0.5 (cosine) to 1 (lift).
    listed
        Neighbours told of a video, those of the highest cosine. Recall falls when this is short: on a public log 100 instead of 800 cost a
        tenth of it.
    change
        Part by which a video's counts must have grown before it is told anew, >= 0.
    most_lists
        Lists told at once; those that grew most go first, the others wait.
    max_videos, max_pairs, max_users
        Bounds of memory: videos known, pairs kept of a video (8 bytes each), people known. Beyond, a quarter goes: the videos watched
        least (of equals the oldest), the pairs of the lowest cosine; of people the one that was silent for longest.
    tidy_every
        First watches between two looks at the bounds.

    Examples
    --------
    >>> cowatch = CoWatch()
    >>> cowatch.on_batch([WatchedBefore("ada", ["a", "b"]), WatchedBefore("bob", ["a", "b", "c"])])
    []
    >>> [(one.video_id, one.video_ids) for one in cowatch.on_time(0)]
    [('a', ['b', 'c']), ('b', ['a', 'c']), ('c', ['a', 'b'])]

    References
    ----------
    Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001.
    """

    def __init__(
        self,
        *,
        recent: int = 50,
        remembered: int = 100,
        popularity: float = 0.8,
        listed: int = 800,
        change: float = 0.1,
        most_lists: int = 1_000,
        max_videos: int = 100_000,
        max_pairs: int = 4_096,
        max_users: int = 200_000,
        tidy_every: int = 4_096,
    ) -> None:
        if not 1 <= recent <= remembered:
            msg = f"expected 1 <= recent <= remembered, got {recent} and {remembered}"
            raise ValueError(msg)
        if not 0 <= popularity <= 1 or change < 0:
            msg = f"expected popularity from 0 to 1 and change >= 0, got {popularity} and {change}"
            raise ValueError(msg)
        if min(listed, most_lists, max_users, tidy_every, max_videos // 4, max_pairs // 4) < 1:
            msg = "expected listed, most_lists, max_users, tidy_every >= 1 and max_videos, max_pairs >= 4, got less"
            raise ValueError(msg)
        self.recent = recent
        self.remembered = remembered
        self.popularity = popularity
        self.listed = listed
        self.change = change
        self.most_lists = most_lists
        self.max_videos = max_videos
        self.max_pairs = max_pairs
        self.max_users = max_users
        self.tidy_every = tidy_every
        self._fold = RepeatFold()
        self._videos = WatchedVideos()
        self._pairs = PairCounts()
        self._told: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._gone: list[str] = []
        self._people = LastWatched(most=max_users)
        self._since_tidy = 0
        self._as_of_ms = 0
        self._is_pending = False

    @property
    def pending(self) -> bool:
        """Whether `on_time` may have something to tell."""
        return self._is_pending

    def on_batch(self, batch: Sequence[Watching]) -> list[Neighbours]:
        """Count what is new; neighbours are told by `on_time`."""
        for one in batch:
            if isinstance(one, WatchedBefore):
                self._before(one)
            elif self._fold.admits(one.origin, shard_of(one.user_id)):
                self._as_of_ms = max(self._as_of_ms, one.at_ms)
                if one.how is How.TAKEN_BACK:
                    self._take_back(one.user_id, one.video_id)
                else:
                    self._watch(one.user_id, self._videos.code(one.video_id), moves=one.how is How.SHOWN)
        return []

    def on_time(self, now_ms: int) -> list[Neighbours]:
        """Return the neighbours of the videos whose counts grew most since they were told, an empty list for those no longer kept."""
        self._settle()
        gone, self._gone = self._gone, []
        lists = [Neighbours(video_id=video_id, as_of_ms=self._as_of_ms, video_ids=[], weights=[]) for video_id in gone]
        mass = self._pairs.mass
        growth = (mass - self._told) / np.maximum(self._told, 1)
        due = np.flatnonzero((mass > self._told) & (growth >= self.change))
        self._is_pending = len(due) > self.most_lists
        if self._is_pending:
            due = np.sort(due[np.lexsort((due, -growth[due]))[: self.most_lists]])
        self._told[due] = mass[due]
        watches = self._videos.counts()
        return lists + [self._list(code, watches) for code in due.tolist()]

    def snapshot(self) -> State:
        """Return all state, in blocks."""
        return {"version": self.VERSION, "blocks": list(self.blocks())}

    def restore(self, state: State) -> None:
        """Take the place of the operator that made this snapshot."""
        self.check_version(state)
        self.restore_blocks(iter(state["blocks"]))

    def blocks(self) -> Iterator[bytes]:
        """Yield the state in blocks of a few megabytes."""
        self._settle()
        head = {
            "version": self.VERSION,
            "marks": self._fold.snapshot(),
            "ids": self._videos.ids,
            "watches": self._videos.watches.tobytes(),
            "told": self._told.tobytes(),
            "gone": self._gone,
            "since_tidy": self._since_tidy,
            "as_of_ms": self._as_of_ms,
            "row_blocks": -(-len(self._videos) // _ROWS_EACH),
        }
        yield msgspec.msgpack.encode(head)
        for block in self._pairs.pack(_ROWS_EACH):
            yield msgspec.msgpack.encode(block)
        for people in self._people.pack():
            yield msgspec.msgpack.encode(people)

    def restore_blocks(self, blocks: Iterator[bytes]) -> None:
        """Take back what `blocks` yielded.

        Raises
        ------
        ValueError
            If the version cannot be read.
        """
        head = msgspec.msgpack.decode(next(blocks))
        self.check_version(head)
        self._fold.restore([tuple(mark) for mark in head["marks"]])
        self._videos.put(head["ids"], array("q", head["watches"]))
        self._told = np.frombuffer(head["told"], dtype=np.int64).copy()
        self._gone, self._since_tidy, self._as_of_ms = head["gone"], head["since_tidy"], head["as_of_ms"]
        self._pairs = PairCounts()
        self._pairs.grow(len(self._videos))
        for _ in range(head["row_blocks"]):
            self._pairs.unpack(msgspec.msgpack.decode(next(blocks), type=_Block))
        self._people = LastWatched(most=self.max_users)
        for block in blocks:
            self._people.unpack(msgspec.msgpack.decode(block, type=People))
        self._is_pending = True

    def _take_back(self, user_id: str, video_id: str) -> None:
        code, codes = self._videos.find(video_id), self._people.of(user_id)
        if code is not None and code in codes:
            codes.remove(code)

    def _watch(self, user_id: str, code: int, *, moves: bool) -> None:
        codes = self._people.of(user_id)
        if code in codes:
            if moves:
                codes.remove(code)
                codes.append(code)
            return
        self._count(code, codes[-self.recent :])
        codes.append(code)
        if len(codes) > self.remembered:
            del codes[0]
        self._tidy()

    def _before(self, history: WatchedBefore) -> None:
        codes = self._people.of(history.user_id)
        known = set(codes)
        earlier = array("i", [code for code in dict.fromkeys(map(self._videos.code, history.video_ids)) if code not in known])
        line = earlier + codes
        n = len(earlier)
        for at in range(min(len(line), n + self.recent)):
            before = line[max(0, at - self.recent) : min(at, n)]
            if at < n:
                self._count(line[at], before)
            elif before:
                self._pairs.gather(line[at], before)
        codes[:] = line[-self.remembered :]
        self._tidy()

    def _count(self, code: int, others: array[int]) -> None:
        self._videos.watches[code] += 1
        self._since_tidy += 1
        self._is_pending = True
        if others:
            self._pairs.gather(code, others)
            if self._pairs.full:
                self._settle()

    def _settle(self) -> None:
        self._pairs.flush()
        self._pairs.grow(len(self._videos))
        more = len(self._videos) - len(self._told)
        if more > 0:
            self._told = np.concatenate([self._told, np.zeros(more, dtype=np.int64)])

    def _tidy(self) -> None:
        if self._since_tidy < self.tidy_every:
            return
        self._since_tidy = 0
        self._settle()
        watches = self._videos.counts()
        for code in range(len(self._pairs)):
            if len(self._pairs.row(code)[0]) > self.max_pairs:
                self._pairs.keep(code, self._nearest(code, self.max_pairs * 3 // 4, watches))
        if len(self._videos) > self.max_videos:
            self._forget_videos(watches)

    def _forget_videos(self, watches: NDArray[np.float64]) -> None:
        stay = np.sort(np.lexsort((-np.arange(len(watches)), -watches))[: self.max_videos * 3 // 4])
        new_codes = np.full(len(watches), -1, dtype=np.int32)
        new_codes[stay] = np.arange(len(stay), dtype=np.int32)
        self._pairs.recode(new_codes)
        self._gone += [self._videos.ids[code] for code in np.flatnonzero((new_codes < 0) & (self._told > 0)).tolist()]
        self._told = self._told[stay]
        self._videos.keep(stay.tolist())
        self._people.recode(new_codes)

    def _nearest(self, code: int, n: int, watches: NDArray[np.float64]) -> NDArray[np.intp]:
        codes, counts = self._pairs.row(code)
        return heaviest(codes, weights_of(counts, watches[code], watches[codes], COSINE), n)

    def neighbours_of(self, video_id: str) -> Neighbours:
        """Return the neighbours of a video as they stand, whether or not they were told; none for an unknown video."""
        self._settle()
        code = self._videos.find(video_id)
        if code is None:
            return Neighbours(video_id=video_id, as_of_ms=self._as_of_ms, video_ids=[], weights=[])
        return self._list(code, self._videos.counts())

    def _list(self, code: int, watches: NDArray[np.float64]) -> Neighbours:
        codes, counts = self._pairs.row(code)
        near = self._nearest(code, self.listed, watches)
        codes, weights = codes[near], weights_of(counts[near], watches[code], watches[codes[near]], self.popularity)
        best = heaviest(codes, weights, self.listed)
        ids = self._videos.ids
        return Neighbours(
            video_id=ids[code],
            as_of_ms=self._as_of_ms,
            video_ids=[ids[one] for one in codes[best].tolist()],
            weights=four_digits(weights[best]).tolist(),
        )

    @classmethod
    def examples(cls) -> Iterator[Example[Any, Any]]:
        """Yield examples for the contract checks."""
        yield from cowatch_examples(cls)
