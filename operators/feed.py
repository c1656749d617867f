"""The feed: from a request and what is known of its person to the answer and its lineage; no broker, no store, no clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from operators.chain import HISTORY, feed_pipeline
from operators.cursor import cursor_after
from operators.lineage import Arrival, lineage
from operators.outcome import Clock, Outcome
from operators.pipeline import Pipeline
from operators.query import Query, Rows, query
from operators.reasons import reasons
from operators.stages import Source
from operators.tables.side import SideTables
from operators.tokens import sign_page
from schemas.catalog import CatalogItem
from schemas.features import ServedPage, region_scope
from schemas.feed import DEFAULT_AGE, FeedItem, FeedRequest, FeedResponse, Level, ReadState, ServedRecord
from schemas.fitting import fit_response
from schemas.topics import load_topics

AROUND_BYTES = 32_768
"""Room in a record of an answer for its key, the headers that are echoed, and `latency_ms`."""
POLICY = "spaced_epsilon_slots"
POLICY_OF_REPEATS = "repeated_page"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its lineage, and the page to remember, if there is one.

    There is none where nobody is shown anything, and where it is remembered already. `lost` names what the response had to give up to fit
    its topic. `response` and `served` carry no `latency_ms` yet: `timed` fills it in, `served.response_sha256` is of the bytes without it.
    """

    response: FeedResponse
    served: ServedRecord
    page: ServedPage | None
    asked: Query
    outcome: Outcome
    lost: tuple[str, ...] = ()

    def timed(self, latency_ms: dict[str, float]) -> tuple[FeedResponse, ServedRecord]:
        """Return response and lineage with the time that each stage took."""
        return (
            msgspec.structs.replace(self.response, latency_ms=latency_ms),
            msgspec.structs.replace(self.served, latency_ms=latency_ms),
        )


class FeedEngine:
    """Answers requests from the side tables as they stand.

    The same request, state read, tables and skipped stages give the same bytes, whatever came before and wherever rows lie.

    The level of an answer: that of the scorer that decided, `full` for the best one (before anything was learned, that is the initial
    weights); `online_model` where re-ranking failed, so that the ranker's order stands; `cf_cache` where no scorer could decide, so that
    the retrieval order stands; `regional_trending` and `global_popular` where the store did not answer, so that nothing is
    known of the person (the first if the region has a trending list); `global_popular` also where rules gave way so that there is something
    to show (`relaxed`); `nothing_allowed` where all that the catalogue lists is blocked, hidden, not available at this time or above the
    person's age; `empty_catalogue` where it lists nothing. `user_cache` belongs to a stage that does not exist yet.

    A request whose cursor was asked with before gets that page again, and so does one without a cursor whose id was answered before (a
    client's second attempt, if its first was answered too): the videos of the remembered page in their order, without those that may not be
    shown any more, up to the limit; scores, reasons and tokens are those of now, each place has propensity 1. Where none of its videos may
    be shown any more, the answer is a page of its own.

    Parameters
    ----------
    tables
        The side tables; the caller applies records to them between answers.
    secret
        Key of the tracking tokens, 16 to 64 bytes.
    seed
        The system's seed.
    worker
        Name of the process, for the lineage.
    pipeline
        The stages; the feed's own by default.
    default_age
        Age in years of people of whom no age is known.
    """

    def __init__(
        self,
        *,
        tables: SideTables,
        secret: bytes,
        seed: int,
        worker: str,
        pipeline: Pipeline | None = None,
        default_age: int = DEFAULT_AGE,
    ) -> None:
        self.tables = tables
        self.secret = secret
        self.seed = seed
        self.worker = worker
        self.default_age = default_age
        self.pipeline = feed_pipeline() if pipeline is None else pipeline
        self.answer_bytes = load_topics()["feed.responses"].record_bytes - AROUND_BYTES

    def answer(
        self,
        *,
        request: FeedRequest,
        raw: bytes,
        request_id: str,
        read: ReadState,
        now_ms: int,
        sequence: int,
        attempt: int = 1,
        skip: Collection[str] = (),
        clock: Clock | None = None,
    ) -> Answer:
        """Answer one request.

        Parameters
        ----------
        request, raw
            The request and its bytes.
        request_id
            Its name, also where it brought none.
        read
            What was read of the person.
        now_ms
            The "now" of the answer.
        sequence
            Number of the answer in this process.
        attempt
            Which attempt of the client this is.
        skip
            Stages that must not take part: `skipped` of a recorded answer.
        clock
            Monotonic seconds; without one nothing is timed and no budget binds.
        """
        asked = query(
            tables=self.tables,
            request=request,
            request_id=request_id,
            now_ms=now_ms,
            read=read,
            seed=self.seed,
            default_age=self.default_age,
        )
        remembered = asked.repeated
        asked, outcome = self._decided(asked, skip, clock)
        whole = self._whole(asked, outcome)
        # Cut before its lineage is written and its page remembered: both are of what the person gets.
        response, lost = fit_response(whole, self.answer_bytes)
        outcome = replace(outcome, slots=outcome.slots[: len(response.items)])
        served = lineage(
            asked,
            outcome,
            self.pipeline,
            response,
            Arrival(raw=raw, read=read, sequence=sequence, attempt=attempt, worker=self.worker, seed=self.seed),
        )
        page = self._page(asked, outcome, response.items)
        if remembered is not None and page is not None and page.video_ids == remembered.video_ids:
            page = None
        return Answer(response, served, page, asked, outcome, lost)

    def went_out(self, answer: Answer) -> None:
        """Count an answer that goes out, once."""
        self.pipeline.went_out(answer.asked, answer.outcome)

    def _decided(self, asked: Query, skip: Collection[str], clock: Clock | None) -> tuple[Query, Outcome]:
        """Return the page that was answered before, where any of it may still be shown, else a page of its own.

        What one try went without, the next ones go without too, and it is told of the answer: a replay must take the same way.
        """
        page, limit = asked.repeated, asked.request.limit
        anew = replace(asked, repeated=None)
        tried: list[Outcome] = []
        if page is None or page.request_id == asked.request_id:
            outcome = self.pipeline.run(anew, limit=limit, skip=skip, clock=clock)
            if page is None or self._shown(outcome) == page.video_ids:
                return anew, outcome
            tried.append(outcome)
        outcome = self.pipeline.repeat(asked, limit=limit, skip=(*skip, *_skipped(tried)), clock=clock)
        tried.append(outcome)
        query = asked if outcome.slots else anew
        if not outcome.slots:
            outcome = self.pipeline.run(anew, limit=limit, skip=(*skip, *_skipped(tried)), clock=clock)
            tried.append(outcome)
        outcome.skipped = sorted(_skipped(tried), key=self.pipeline.stage_names.index)
        outcome.errors = {name: error for one in tried for name, error in one.errors.items()}
        return query, outcome

    def _shown(self, outcome: Outcome) -> list[str]:
        return self.tables.videos.names(outcome.rows[_places_shown(outcome)])

    def _whole(self, asked: Query, outcome: Outcome) -> FeedResponse:
        return FeedResponse(
            request_id=asked.request_id,
            user_id=asked.request.user_id,
            now_ms=asked.now_ms,
            items=self._items(asked, outcome),
            degradation_level=self._level(asked, outcome),
            next_cursor=self._next_cursor(asked),
            model_versions=self.tables.versions(),
            relaxed=outcome.relaxed,
            exhausted=not set(outcome.relaxed).isdisjoint(HISTORY),
        )

    def _level(self, asked: Query, outcome: Outcome) -> Level:
        if not outcome.slots:
            return Level.NOTHING_ALLOWED if self.tables.items.n_listed > 0 else Level.EMPTY_CATALOGUE
        if not asked.available:
            regional = asked.region is not None and self.tables.trending.of(region_scope(asked.region)) is not None
            return Level.REGIONAL_TRENDING if regional else Level.GLOBAL_POPULAR
        return Level.GLOBAL_POPULAR if outcome.relaxed else outcome.level

    def _next_cursor(self, asked: Query) -> str:
        page = asked.repeated
        request_id, at_ms = (asked.request_id, asked.now_ms) if page is None else (page.request_id, page.at_ms)
        return cursor_after(self.secret, asked.request.user_id, request_id=request_id, at_ms=at_ms)

    def _items(self, asked: Query, outcome: Outcome) -> list[FeedItem]:
        slots, places = outcome.slots, _places_shown(outcome)
        ids = self._shown(outcome)
        rows = outcome.rows[places].tolist()
        tokens = sign_page(
            self.secret,
            request_id=asked.request_id,
            video_ids=ids,
            now_ms=asked.now_ms,
            propensities=[slot.propensity for slot in slots],
            policy=POLICY if asked.repeated is None else POLICY_OF_REPEATS,
            model_version=str(self.tables.weights.version),
        )
        scores = np.nan_to_num(outcome.scores[places], nan=0.0, posinf=0.0, neginf=0.0).tolist()
        sources = self._sources(outcome)
        why = reasons(asked, rows, sources, outcome)
        items = []
        for row, score, source, reason, token in zip(rows, scores, sources, why, tokens, strict=True):
            record = self.tables.items.record(row)
            if record is None:
                message = f"expected a listed video, got {self.tables.videos.ids[row]}, at the page of {asked.request_id}"
                raise RuntimeError(message)
            items.append(_item(record, score=round(score, 6), source=source.name, recommendation_reason=reason, tracking_token=token))
        return items

    def _sources(self, outcome: Outcome) -> list[Source]:
        sources, main = self.pipeline.all_sources, outcome.main[outcome.ranked]
        return [self.pipeline.explorer if slot.explored else sources[main[slot.rank]] for slot in outcome.slots]

    def _page(self, asked: Query, outcome: Outcome, items: list[FeedItem]) -> ServedPage | None:
        if asked.request.shadow or asked.repeated is not None or not items:
            return None
        rows = outcome.rows[_places_shown(outcome)]
        return ServedPage(
            request_id=asked.request_id,
            at_ms=asked.now_ms,
            video_ids=[item.video_id for item in items],
            simhashes=self.tables.vectors.simhash.values[rows].tolist(),
            after=asked.request.cursor or "",
            relaxed=outcome.relaxed,
        )


def _skipped(tried: Sequence[Outcome]) -> set[str]:
    return {name for outcome in tried for name in outcome.skipped}


def _places_shown(outcome: Outcome) -> Rows:
    return outcome.ranked[[slot.rank for slot in outcome.slots]] if outcome.slots else outcome.ranked[:0]


def _item(record: CatalogItem, *, score: float, source: str, recommendation_reason: str, tracking_token: str) -> FeedItem:
    return FeedItem(
        video_id=record.video_id,
        title=record.title,
        video_url=record.video_url,
        thumbnail_url=record.thumbnail_url,
        prefetch_url=record.prefetch_url,
        creator_id=record.creator_id,
        score=score,
        source=source,
        recommendation_reason=recommendation_reason,
        tracking_token=tracking_token,
        duration_ms=record.duration_ms,
        tags=record.tags,
        category=record.category,
        language=record.language,
        fields=record.fields,
    )
