"""Streams a KuaiRand log over the topics at a chosen speed and asks for feeds on the way."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.base import Message
from schemas.feed import FeedRequest, FeedResponse
from schemas.settings import Settings
from schemas.telemetry import RawEvent
from serving.answers import AnswerFile
from serving.client import FeedClient
from serving.errors import PenstockError, kind_of
from serving.kuairand import KuaiRandLog, Publication, Schedule, before_the_stream
from serving.producer import TelemetryProducer
from serving.publisher import Publisher

_TOPICS: Mapping[str, str] = {"catalogue": "catalog.items", "history": "telemetry.history"}
_REQUEST_CODE = 0


@dataclass(slots=True)
class LoadResult:
    """What a load has published and asked so far; latencies run from the sending of a request."""

    published: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    answered: int = 0
    unanswered: int = 0
    levels: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    log_ms: int = 0

    @property
    def events(self) -> int:
        """Events published, the catalogue and the histories aside."""
        return sum(n for kind, n in self.published.items() if kind not in _TOPICS)


def publish_before_the_stream(settings: Settings, log: KuaiRandLog, on_progress: Callable[[int], None] | None = None) -> Counter[str]:
    """Publish the catalogue and the histories; return how many of each when the broker has them."""
    published: Counter[str] = Counter()
    with Publisher(settings.kafka(), topic_prefix=settings.topic_prefix) as publisher:
        for number, publication in enumerate(before_the_stream(log), 1):
            if isinstance(publication.message, Message):
                publisher.publish(_TOPICS[publication.kind], publication.key, publication.message)
            published[publication.kind] += 1
            if on_progress is not None and number % 500 == 0:
                on_progress(number)
    return published


def cut(
    schedule: Schedule, *, rows: int | None = None, freeze_after: int | None = None, ask_rows: NDArray[np.int64] | None = None
) -> Schedule:
    """Leave messages out of a schedule.

    Parameters
    ----------
    rows : int or None
        Keep what belongs to the first so many rows of the log.
    freeze_after : int or None
        Publish no event of a row of a later day (as the log's `date` column has it); requests go on.
    ask_rows : int64 (n,) or None
        Ask before these rows only.
    """
    requests = schedule.codes == _REQUEST_CODE
    keep = np.ones(len(schedule), bool)
    if rows is not None:
        keep &= schedule.rows < rows
    if freeze_after is not None:
        keep &= requests | (schedule.log["date"][schedule.rows] <= freeze_after)
    if ask_rows is not None:
        keep &= ~requests | np.isin(schedule.rows, ask_rows)
    return dataclasses.replace(schedule, at_ms=schedule.at_ms[keep], codes=schedule.codes[keep], rows=schedule.rows[keep])


class LogStream:
    """Publishes a schedule's messages when they are due.

    The log's clock runs `speed` times as fast as the wall's and stands still while too many requests are unanswered. A person's events
    wait for the answer that was asked for before them, so no answer is made on what that person did later; of other people's events it
    may know those of the time that it took, `speed` times as long in the log.

    Parameters
    ----------
    client, producer : FeedClient, TelemetryProducer
        How requests and events get to the topics.
    answers : AnswerFile or None
        Where answers are written.
    speed : float
        Seconds of the log per second, above 0.
    """

    def __init__(self, client: FeedClient, producer: TelemetryProducer, *, answers: AnswerFile | None = None, speed: float = 600.0) -> None:
        self.client = client
        self.producer = producer
        self.answers = answers
        self.speed = speed
        self.result = LoadResult()
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Publication]] = {}
        self._released: deque[str] = deque()

    def run(
        self,
        schedule: Schedule,
        *,
        on_progress: Callable[[LoadResult, int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> LoadResult:
        """Publish everything in order; return when every request is settled and every event acknowledged.

        Raises
        ------
        TransportError
            If events could not be delivered.
        """
        started = told = time.monotonic()
        origin_ms = int(schedule.at_ms[0]) if len(schedule) else 0
        begun = started
        for number, publication in enumerate(schedule):
            due = begun + (publication.at_ms - origin_ms) / 1000 / self.speed
            begun += self._wait_until(due)
            self.result.log_ms = publication.at_ms
            self._take(publication)
            now = time.monotonic()
            if now - told > 0.1:
                told, self.result.seconds = now, now - started
                if on_progress is not None:
                    on_progress(self.result, number)
                if stop():
                    break
        self._settle()
        self.result.seconds = time.monotonic() - started
        return self.result

    def _wait_until(self, due: float) -> float:
        """Wait until an instant; return by how much it was missed beyond a second, for the log's clock stands still then."""
        while (left := due - time.monotonic()) > 0:
            self._release()
            self.producer.poll()
            time.sleep(min(left, 0.01))
        self._release()
        return max(time.monotonic() - due - 1.0, 0.0)

    def _take(self, publication: Publication) -> None:
        if publication.key in self._waiting:
            self._waiting[publication.key].append(publication)
        else:
            self._send(publication)

    def _send(self, publication: Publication) -> None:
        message = publication.message
        if isinstance(message, FeedRequest):
            self._waiting[publication.key] = deque()
            self._ask(message)
        elif isinstance(message, RawEvent):
            self.producer.send(publication.key, [message])
            self.result.published[publication.kind] += 1

    def _ask(self, request: FeedRequest) -> None:
        self.result.requests += 1
        sent = time.monotonic()
        try:
            future = self.client.submit(request)
        except PenstockError as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._on_answer(request, sent, done))

    def _on_answer(self, request: FeedRequest, sent: float, done: Future[FeedResponse]) -> None:
        latency_ms = (time.monotonic() - sent) * 1000
        try:
            with self._lock:
                self._count(request, latency_ms, done)
        finally:  # a file that cannot be written must not hold the person's events back
            self._released.append(request.user_id)

    def _count(self, request: FeedRequest, latency_ms: float, done: Future[FeedResponse]) -> None:
        error = done.exception()
        if error is not None:
            self.result.unanswered += 1
            self.result.errors[kind_of(error)] += 1
            return
        page = done.result()
        self.result.answered += 1
        self.result.levels[page.degradation_level.value] += 1
        self.result.latencies_ms.append(latency_ms)
        if self.answers is not None:
            self.answers.on_answer(request, page, latency_ms)

    def _release(self) -> None:
        """Send what has waited for an answer that has come, up to the person's next request."""
        while self._released:
            waiting = self._waiting.pop(self._released.popleft())
            while waiting:
                publication = waiting.popleft()
                self._send(publication)
                if publication.key in self._waiting:
                    self._waiting[publication.key] = waiting
                    break

    def _settle(self) -> None:
        """Wait for every answer, and for what people still have to ask and do after it: the client settles each request in time."""
        while self._waiting:
            self._release()
            self.producer.poll()
            time.sleep(0.01)
        self.producer.flush(60)
