"""A request and its person, as rows and arrays of the side tables: what every stage of the feed reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from hashlib import blake2b, shake_128
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from operators.interactions import SHOWN
from operators.profiles.interest import INTEREST_HALF_LIFE
from operators.tables.neighbours import Joined
from operators.tables.side import SideTables
from operators.taste import Lately, Taste, lately, newest
from schemas.codec import DecodeError, unpack
from schemas.features import Profile, ServedPage, Taken, UserState
from schemas.feed import DEFAULT_AGE, FeedRequest, ReadState
from schemas.locale import language_of, region_of

Rows = NDArray[np.intp]
M = TypeVar("M", UserState, ServedPage)

SESSION_MS = 30 * 60_000
MAX_RECENT = 50
LONGEST_YEAR_MS = 366 * 86_400_000
MAX_POSITIVES = 50
SMALL_CATALOGUE = 20_000
LIKED_SEED = 1.5
INTEREST_HALF_LIFE_MS = INTEREST_HALF_LIFE // timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Query:
    """All that an answer depends on, beside the side tables.

    Parameters
    ----------
    tables
        The side tables as they stand at this moment; nothing is applied while a query lives.
    request, request_id, now_ms
        Who asks, under which name, and the "now" of the answer.
    available
        Whether the store answered; if not, nothing is known of the person.
    state
        The person's state, None for somebody new.
    seen
        Bloom bitmaps of what the person has seen, one per generation.
    pages
        What was served in this session (the last 30 minutes), oldest first, this request's own page left out.
    seed : bytes
        Source of all chance in the answer: a hash of the system's seed and the request id.
    repeated
        The page that was served to the request's cursor before, None where there is none.
    default_age
        Age in years of somebody of whom no age is known.
    """

    tables: SideTables
    request: FeedRequest
    request_id: str
    now_ms: int
    available: bool
    state: UserState | None
    seen: tuple[bytes, ...]
    pages: tuple[ServedPage, ...]
    seed: bytes
    repeated: ServedPage | None = None
    default_age: int = DEFAULT_AGE

    @cached_property
    def recent(self) -> Taste:
        """The last distinct videos shown, newest first, at most MAX_RECENT."""
        return newest(self._shown, most=MAX_RECENT, videos=self.tables.videos)

    @cached_property
    def watched(self) -> Taste:
        """Those of the last videos that were watched for more than a moment and not taken back: the seeds of neighbours."""
        hidden = set() if self.state is None else set(self.state.hidden_videos)
        watched = [one for one in self._shown if one.weight > SHOWN and one.video_id not in hidden]
        return newest(watched, most=MAX_RECENT, videos=self.tables.videos)

    @cached_property
    def passed(self) -> Taste:
        """Those of the last videos that were skipped or disliked."""
        return newest([one for one in self._shown if one.weight <= 0], most=MAX_RECENT, videos=self.tables.videos)

    @cached_property
    def positives(self) -> Taste:
        """The last distinct videos taken to, newest first, at most MAX_POSITIVES."""
        return newest(() if self.state is None else self.state.positives, most=MAX_POSITIVES, videos=self.tables.videos)

    @cached_property
    def neighbourhood(self) -> Joined:
        """The neighbours of the last watches, each weight times how much its watch counts.

        A watch counts 0.95^place · (1 + share watched)/2, half as much again where the person took to the video.
        """
        seeds = self.watched
        joined = self.tables.neighbours.of(seeds.rows)
        liked = np.where(np.isin(seeds.rows, self.positives.rows), LIKED_SEED, 1.0)
        return joined._replace(weights=joined.weights * (seeds.strengths * (1.0 + seeds.weights) / 2.0 * liked)[joined.places])

    @cached_property
    def co_watched(self) -> tuple[Rows, NDArray[np.float64]]:
        """The neighbours of the last watches, and how much each was watched together with them, shape (n,) each.

        Contributions are added in the order of the watches, so the sum of a video has the same bits wherever its row lies.
        """
        joined = self.neighbourhood
        first, same = self.tables.videos.distinct(joined.rows)
        sums = np.bincount(same, weights=joined.weights, minlength=len(first))
        return joined.rows[first].astype(np.intp), sums.astype(np.float64, copy=False)

    @cached_property
    def vector(self) -> NDArray[np.float32] | None:
        """The person's taste as an int8-valued vector of shape (dim,), None where nothing is known.

        u = Σ_r round(64 · weight_r · 0.95^r) · v_r in whole numbers, then rint(127 · u / |u|).
        """
        taken = self.positives
        if len(taken.rows) == 0:
            return None
        strengths = np.rint(64.0 * taken.weights * taken.strengths).astype(np.int64)
        total = (self.tables.vectors.matrix.values[taken.rows].astype(np.int64) * strengths[:, np.newaxis]).sum(axis=0)
        length = float(np.sqrt(float((total * total).sum())))
        if length == 0:
            return None
        taste: NDArray[np.float32] = np.rint(127.0 * total / length).astype(np.float32)
        return taste

    def similarity(self, rows: Rows) -> NDArray[np.float32]:
        """Return the inner products of `rows` with the person's vector, shape (n,), 0 where nothing is known of the person.

        They are exact, so it does not matter that a small catalogue is multiplied whole, once for all stages.
        """
        if self.vector is None:
            return np.zeros(len(rows), dtype=np.float32)
        if len(self.tables.videos) > SMALL_CATALOGUE:
            return self.tables.vectors.similarity(rows, self.vector)
        return self._products[rows]

    @cached_property
    def tags(self) -> NDArray[np.intp]:
        """Codes of the tags of which the person's state says something, -1 where the tables know nothing, shape (n,)."""
        names = () if self.state is None else self.state.tags
        return np.array(list(map(self.tables.tags.find, names)), dtype=np.intp)

    @cached_property
    def tag_interest(self) -> NDArray[np.float64]:
        """How interested the person is in each of `tags` now, tanh of the decayed weight, shape (n,)."""
        known = [] if self.state is None else list(self.state.tags.values())
        weights = np.array([one.weight for one in known], dtype=np.float64)
        ages_ms = np.array([max(self.now_ms - one.at_ms, 0) for one in known], dtype=np.int64)
        interest: NDArray[np.float64] = np.tanh(weights * np.exp2(-ages_ms / INTEREST_HALF_LIFE_MS))
        return interest

    @cached_property
    def lately(self) -> dict[int, Lately]:
        """What the person did in the last 5 and the last 30 minutes, by the number of minutes."""
        return lately(self.state, now_ms=self.now_ms)

    @cached_property
    def liked_categories(self) -> list[int]:
        """Codes of the categories that the person takes to: more was watched and taken to than passed; the strongest first."""
        liking = self.by_category(self.positives) + self.by_category(self.watched) - self.by_category(self.passed)
        names = self.tables.items.categories.ids
        return sorted(np.flatnonzero(liking > 0).tolist(), key=lambda code: (-float(liking[code]), names[code]))

    def by_category(self, taste: Taste) -> NDArray[np.float64]:
        """Return how much some videos count, summed by category, shape (n_categories,)."""
        items = self.tables.items
        codes = items.category.values[taste.rows]
        sums = np.bincount(codes[codes >= 0], weights=taste.strengths[codes >= 0], minlength=len(items.categories))
        return sums.astype(np.float64, copy=False)

    @cached_property
    def surface(self) -> str | None:
        """The surface of the request, if told."""
        return None if self.request.context is None else self.request.context.surface

    @cached_property
    def session(self) -> Rows:
        """Rows served in this session, in the order shown."""
        return self.rows_of([video_id for page in self.pages for video_id in page.video_ids])

    @cached_property
    def followed(self) -> list[int]:
        """Codes of the creators that the person follows."""
        return self._codes([] if self.state is None else self.state.followed_creators)

    @cached_property
    def hidden_creators(self) -> list[int]:
        """Codes of the creators that the person does not want to see."""
        return self._codes([] if self.state is None else self.state.hidden_creators)

    @cached_property
    def hidden_videos(self) -> Rows:
        """Rows of the videos that the person does not want to see."""
        return self.rows_of([] if self.state is None else self.state.hidden_videos)

    @cached_property
    def region(self) -> str | None:
        """The region of the request, else that of the person, in canonical form; None where neither is told."""
        told = None if self.request.context is None else region_of(self.request.context.region)
        return told or (None if self._profile is None else region_of(self._profile.region))

    @cached_property
    def language(self) -> str | None:
        """The language of the request, else that of the person, in canonical form; None where neither is told."""
        told = None if self.request.context is None else language_of(self.request.context.language)
        return told or (None if self._profile is None else language_of(self._profile.language))

    @cached_property
    def age(self) -> int:
        """The years that the person has surely lived, the fewer where a year of birth and an age say otherwise.

        Somebody whose birthday is not known had none yet this year; a year of birth to come says nothing.
        """
        profile, ages = self._profile, []
        if profile is not None and profile.birth_year is not None:
            year = 1970 + int(np.datetime64(self.now_ms, "ms").astype("datetime64[Y]").astype(np.int64))
            ages += [max(year - profile.birth_year - 1, 0)] if profile.birth_year <= year else []
        if profile is not None and profile.age is not None:
            ages.append(profile.age + max(self.now_ms - profile.age_at_ms, 0) // LONGEST_YEAR_MS)
        return min(ages, default=self.default_age)

    def rows_of(self, video_ids: list[str]) -> Rows:
        """Return the rows of the ids that were ever mentioned, order kept."""
        rows = np.array([self.tables.videos.find(video_id) for video_id in video_ids], dtype=np.intp)
        return rows[rows >= 0]

    @cached_property
    def start(self) -> int:
        """A seeded place among the hashes of videos: where a walk through more than can be looked at begins."""
        return int.from_bytes(self.seed[8:], "little")

    def draws(self, n: int) -> list[float]:
        """Return n uniform draws of [0, 1), the same ones whenever asked."""
        data = np.frombuffer(shake_128(self.seed).digest(8 * n), dtype="<u8")
        uniform: list[float] = ((data >> np.uint64(11)) * 2.0**-53).tolist()
        return uniform

    def shuffled(self, rows: Rows) -> NDArray[np.uint64]:
        """Return a random key for each row, which depends on the seed and the video's id only."""
        salt = np.uint64(int.from_bytes(self.seed[:8], "little"))
        keys: NDArray[np.uint64] = (self.tables.items.hashes.values[rows] ^ salt) * np.uint64(0x9E37_79B9_7F4A_7C15)
        keys ^= keys >> np.uint64(32)
        keys *= np.uint64(0xD6E8_FEB8_6659_FD93)
        return keys ^ (keys >> np.uint64(32))

    @property
    def _shown(self) -> list[Taken]:
        return [] if self.state is None else self.state.recent

    @property
    def _profile(self) -> Profile | None:
        return None if self.state is None else self.state.profile

    @cached_property
    def _products(self) -> NDArray[np.float32]:
        products: NDArray[np.float32] = self.tables.vectors.matrix.values[: len(self.tables.videos)] @ self.vector
        return products

    def _codes(self, creators: list[str]) -> list[int]:
        return [code for code in map(self.tables.creators.find, creators) if code >= 0]


def query(
    *,
    tables: SideTables,
    request: FeedRequest,
    request_id: str,
    now_ms: int,
    read: ReadState,
    seed: int,
    default_age: int = DEFAULT_AGE,
) -> Query:
    """Make the query of a request from what was read of its person; a state or page that cannot be read counts as not there.

    Parameters
    ----------
    seed
        The system's seed; with the request id it fixes every draw.
    default_age
        Age in years of somebody of whom no age is known.
    """
    tables.items.hash_new_rows()
    pages = [page for page in (_read(ServedPage, data) for data in read.pages) if page is not None]
    after = request.cursor or ""
    repeated = [page for page in pages if page.after == after and (after or page.request_id == request_id)]
    return Query(
        tables=tables,
        request=request,
        request_id=request_id,
        now_ms=now_ms,
        available=read.available,
        state=_read(UserState, read.state),
        seen=tuple(read.seen[generation] for generation in sorted(read.seen)),
        pages=tuple(page for page in pages if now_ms - page.at_ms < SESSION_MS and page.request_id != request_id),
        seed=blake2b(f"{seed}/{request_id}".encode(), digest_size=16).digest(),
        repeated=repeated[-1] if repeated else None,
        default_age=default_age,
    )


def _read(kind: type[M], data: bytes | None) -> M | None:
    try:
        return None if data is None else unpack(kind, data)
    except DecodeError:
        return None
