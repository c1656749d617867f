"""The step of the feed: side batches into the tables, request batches into answers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from dataflows.artifacts import ArtifactLoader
from dataflows.envelope import Envelope
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, Outgoing, SideBatch, outgoing_letter
from dataflows.logs import Log, Quiet
from dataflows.reply_topics import ReplyTopics
from dataflows.request import Asked, Refused, failed, read_request
from dataflows.store import PageAppend, StoreError
from operators.feed import Answer, FeedEngine
from operators.query import SESSION_MS
from schemas.codec import encode, pack
from schemas.features import ServedPage
from schemas.feed import FeedResponse, ReadState
from schemas.keys import SESSION_PAGES_KEPT

TRIES = 4
OUTPUTS = 2
MAX_UNSAVED = 10_000

Place = tuple[str, int, int]
Found = tuple[Asked, Answer | Refused, float]


class Store(Protocol):
    """What the feed needs of the user store."""

    def read(self, user_ids: Sequence[str], now_ms: Sequence[int]) -> list[ReadState]:
        """Read each person's state; never raises."""

    def append_pages(self, appends: Sequence[PageAppend]) -> list[bool]:
        """Append pages, each only if the list stands as it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Names of the topics in the cluster, other than those that answers go to."""

    prefix: str
    served: str
    letters: str


class Answering:
    """Applies side records and answers requests, on the flow's thread.

    A page is remembered in the store before its answer leaves, by comparison: if another worker served the same person in between, the
    person is read again and answered again. Requests of one person within a batch see each other's pages. Pages that the store could
    not take are remembered here for as long as a session, so that this worker repeats nothing while the store is away.

    Parameters
    ----------
    engine
        Answers one request from the tables.
    store
        People's state and pages.
    loader
        Loads what side records announce.
    topics
        Where lineage and dead letters go.
    replies
        Where answers go.
    metrics, log
        Where it is told what happens.
    future_skew_ms
        How far a request's own "now" may lie past the broker's stamp.
    done
        Called with topic, partition and offset of a request when all its output was delivered, or when it was dropped.
    wall_ms
        The clock that deadlines are compared with.
    """

    def __init__(
        self,
        *,
        engine: FeedEngine,
        store: Store,
        loader: ArtifactLoader,
        topics: Topics,
        replies: ReplyTopics,
        metrics: FeedMetrics,
        log: Log,
        future_skew_ms: int,
        done: Callable[[str, int, int], None],
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.engine = engine
        self.store = store
        self.loader = loader
        self.topics = topics
        self.replies = replies
        self.metrics = metrics
        self.log = log
        self.future_skew_ms = future_skew_ms
        self.done = done
        self.wall_ms = wall_ms
        self._sequence = 0
        self._undelivered: dict[Place, int] = {}
        self._quiet = Quiet()
        self._unsaved: OrderedDict[str, list[ServedPage]] = OrderedDict()

    def on_batch(self, batches: list[Batch]) -> list[Outgoing]:
        """Take in batches in order; return answers, lineage and dead letters."""
        out: list[Outgoing] = []
        for batch in batches:
            self._install()
            self.metrics.records(len(batch))
            if isinstance(batch, SideBatch):
                self._apply(batch)
            else:
                out += self._requests(batch)
        return out

    def delivered(self, place: Place) -> None:
        """Note that one output of a request was acknowledged."""
        left = self._undelivered.get(place, 0) - 1
        if left > 0:
            self._undelivered[place] = left
        elif self._undelivered.pop(place, None) is not None:
            self.done(*place)

    def _install(self) -> None:
        for loaded in self.loader.take():
            self.engine.tables.install(loaded.announced, loaded.content)

    def _apply(self, batch: Batch) -> None:
        tables, skip = self.engine.tables, len(self.topics.prefix)
        for message in batch:
            topic, partition, offset = (message.topic() or "")[skip:], message.partition() or 0, message.offset() or 0
            announced = tables.apply(topic, partition, offset, message.key(), message.value())
            if announced is not None:
                self.loader.offer(announced)

    def _requests(self, batch: Batch) -> list[Outgoing]:
        started, now_ms = time.perf_counter(), self.wall_ms()
        asked: list[Asked] = []
        out: list[Outgoing] = []
        for message in batch:
            envelope = Envelope.of(message)
            overdue_ms = envelope.overdue_ms(now_ms)
            if overdue_ms > 0:
                self.metrics.expired(overdue_ms / 1_000, at_once=envelope.overdue_ms(envelope.stamp_ms) > 0)
                self.done(envelope.topic, envelope.partition, envelope.offset)
                continue
            one = read_request(envelope, future_skew_ms=self.future_skew_ms, secret=self.engine.secret, replies=self.replies)
            if isinstance(one, Refused):
                out += self._refusal(one)
            else:
                asked.append(one)
                if envelope.attempt > 1:
                    self.metrics.event("repeated")
        for one, answer, state_s in self._answers(asked):
            if isinstance(answer, Refused):
                out += self._refusal(answer)
                continue
            latency_ms = {stage: round(spent * 1_000, 3) for stage, spent in answer.outcome.seconds.items()}
            latency_ms["wait"] = float(max(now_ms - one.envelope.stamp_ms, 0))
            latency_ms["state"] = round(state_s * 1_000, 3)
            latency_ms["total"] = round((time.perf_counter() - started) * 1_000, 3)
            out += self._reply(one, answer, latency_ms)
        return out

    def _answers(self, asked: list[Asked]) -> list[Found]:
        """Answer requests until every page is remembered; in the order in which they came."""
        found: dict[int, tuple[Asked, Answer | Refused]] = {}
        state_s = [0.0] * len(asked)
        places = list(range(len(asked)))
        for attempt in range(TRIES):
            if not places:
                break
            if attempt > 0:
                self.metrics.event("answered_again", len(places))
            started = time.perf_counter()
            reads = self.store.read([asked[i].request.user_id for i in places], [asked[i].now_ms for i in places])
            read_s = time.perf_counter() - started
            appends, appended = self._each(asked, places, reads, found)
            started = time.perf_counter()
            kept = self._append(appends)
            append_s = time.perf_counter() - started
            for i in places:
                state_s[i] += read_s
            for i in appended:
                state_s[i] += append_s
            places = [i for i, ok in zip(appended, kept, strict=True) if not ok]
        for i in places:
            answer = found[i][1]
            if isinstance(answer, Answer):
                self._keep(asked[i].request.user_id, answer.page)
        return [(*found[i], state_s[i]) for i in range(len(asked))]

    def _each(
        self, asked: list[Asked], places: list[int], reads: list[ReadState], found: dict[int, tuple[Asked, Answer | Refused]]
    ) -> tuple[list[PageAppend], list[int]]:
        """Answer each, the pages of one person seen by that person's next request; return what is to be remembered."""
        appends: list[PageAppend] = []
        appended: list[int] = []
        new: dict[str, list[bytes]] = {}
        for i, read in zip(places, reads, strict=True):
            one = asked[i]
            user_id = one.request.user_id
            stored = [*read.pages, *new.get(user_id, ())]
            seen = msgspec.structs.replace(read, pages=[*stored, *self._kept(user_id, one.now_ms)])
            answer = self._answer(one, seen)
            found[i] = one, answer
            if isinstance(answer, Refused) or answer.page is None:
                continue
            if not read.available:
                self.metrics.event("without_store")
                self._keep(user_id, answer.page)
                continue
            appends.append(PageAppend(user_id, answer.page, stored))
            appended.append(i)
            new.setdefault(user_id, []).append(pack(answer.page))
        return appends, appended

    def _answer(self, one: Asked, read: ReadState) -> Answer | Refused:
        self._sequence += 1
        try:
            return self.engine.answer(
                request=one.request,
                raw=one.envelope.value,
                request_id=one.request_id,
                read=read,
                now_ms=one.now_ms,
                sequence=self._sequence,
                attempt=one.envelope.attempt,
                clock=time.perf_counter,
            )
        except Exception as error:
            self.log.exception("an answer failed", request_id=one.request_id, error=f"{type(error).__name__}: {error}")
            return failed(one.envelope, error)

    def _append(self, appends: list[PageAppend]) -> list[bool]:
        if not appends:
            return []
        try:
            return self.store.append_pages(appends)
        except StoreError:
            self.metrics.event("without_store", len(appends))
            for one in appends:
                self._keep(one.user_id, one.page)
            return [True] * len(appends)

    def _kept(self, user_id: str, now_ms: int) -> list[bytes]:
        return [pack(page) for page in self._unsaved.get(user_id, ()) if now_ms - page.at_ms < SESSION_MS]

    def _keep(self, user_id: str, page: ServedPage | None) -> None:
        if page is not None:
            pages = [one for one in self._unsaved.pop(user_id, []) if page.at_ms - one.at_ms < SESSION_MS]
            self._unsaved[user_id] = [*pages, page][-SESSION_PAGES_KEPT:]
            if len(self._unsaved) > MAX_UNSAVED:
                self._unsaved.popitem(last=False)

    def _reply(self, one: Asked, answer: Answer, latency_ms: dict[str, float]) -> list[Outgoing]:
        response, served = answer.timed(latency_ms)
        self.metrics.event("cut", 1 if answer.lost else 0)
        self.engine.went_out(answer)
        for stage, error in answer.outcome.errors.items():
            if self._quiet.lets(stage):
                self.log.error("a stage failed", stage=stage, error=error, request_id=response.request_id)
        self.metrics.answered(response.degradation_level.value, latency_ms)
        place = self._expect(one.envelope)
        lineage = Outgoing(self.topics.served, served.user_id.encode(), encode(served), tag=place)
        return [self._response(one.envelope, response, place), lineage]

    def _response(self, envelope: Envelope, response: FeedResponse, place: Place) -> Outgoing:
        topic, partition = self.replies.destination(envelope, response.request_id)
        return Outgoing(topic, response.request_id.encode(), encode(response), partition, envelope.reply_headers(response), tag=place)

    def _refusal(self, one: Refused) -> list[Outgoing]:
        self.metrics.event(one.letter.reason.value)
        place = self._expect(one.envelope)
        return [self._response(one.envelope, one.response, place), outgoing_letter(self.topics.letters, one.letter, tag=place)]

    def _expect(self, envelope: Envelope) -> Place:
        place = envelope.topic, envelope.partition, envelope.offset
        self._undelivered[place] = OUTPUTS
        return place
