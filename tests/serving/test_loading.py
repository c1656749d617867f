"""The stream of a log: what is published when, and what waits for an answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import numpy as np

from schemas.feed import FeedRequest, FeedResponse, Level
from schemas.telemetry import InteractionType, RawEvent
from serving.answers import AnswerFile
from serving.client import FeedClient
from serving.errors import TransportError
from serving.kuairand import Publication, Schedule
from serving.loading import LogStream
from serving.producer import TelemetryProducer


class FakeClient:
    """Keeps requests until `answer` is called; `at_once` answers them in `submit`."""

    def __init__(self, at_once: Callable[[FeedRequest], FeedResponse | Exception] | None = None) -> None:
        self.at_once = at_once
        self.asked: list[FeedRequest] = []
        self.futures: list[Future[FeedResponse]] = []

    def submit(self, request: FeedRequest) -> Future[FeedResponse]:
        self.asked.append(request)
        future: Future[FeedResponse] = Future()
        self.futures.append(future)
        if self.at_once is not None:
            result = self.at_once(request)
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        return future


class FakeProducer:
    """Writes down what it is told to send, in order; `on_poll` is called at each poll."""

    def __init__(self, on_poll: Callable[[], None] = lambda: None) -> None:
        self.sent: list[str] = []
        self.flushed = 0
        self.on_poll = on_poll

    def send(self, _user_id: str, events: list[RawEvent]) -> None:
        self.sent += [event.event_id for event in events]

    def poll(self) -> None:
        self.on_poll()

    def flush(self, _timeout: float) -> None:
        self.flushed += 1


def _stream(client: FakeClient, producer: FakeProducer, **options: Any) -> LogStream:
    return LogStream(cast(FeedClient, client), cast(TelemetryProducer, producer), speed=1e9, **options)


def _event(user: str, name: str) -> Publication:
    event = RawEvent(event_id=name, video_id="v", interaction_type=InteractionType.LIKE, timestamp=1)
    return Publication(1, "outcome", user, event, 0)


def _request(user: str, name: str) -> Publication:
    return Publication(1, "request", user, FeedRequest(user_id=user, request_id=name), 0)


def _page(request: FeedRequest) -> FeedResponse:
    return FeedResponse(request_id=str(request.request_id), user_id=request.user_id, now_ms=1, items=[], degradation_level=Level.FULL)


class Listed:
    """A schedule of given publications."""

    def __init__(self, *publications: Publication) -> None:
        self.publications = publications
        self.at_ms = np.array([each.at_ms for each in publications])

    def __len__(self) -> int:
        return len(self.publications)

    def __iter__(self) -> Any:
        return iter(self.publications)


def _listed(*publications: Publication) -> Schedule:
    return cast(Schedule, Listed(*publications))


def test_a_persons_events_wait_for_their_answer_and_others_do_not() -> None:
    client = FakeClient()
    seen: list[tuple[int, list[str]]] = []

    def answer_the_newest() -> None:
        seen.append((len(client.asked), list(producer.sent)))
        if not client.futures[-1].done():
            client.futures[-1].set_result(_page(client.asked[-1]))

    producer = FakeProducer(answer_the_newest)
    result = _stream(client, producer).run(
        _listed(_request("a", "a1"), _event("a", "e1"), _event("b", "x"), _request("a", "a2"), _event("a", "e2"))
    )
    assert seen[:2] == [(1, ["x"]), (2, ["x", "e1"])]
    assert producer.sent == ["x", "e1", "e2"]
    assert [request.request_id for request in client.asked] == ["a1", "a2"]
    assert (result.requests, result.answered, result.unanswered, result.events) == (2, 2, 0, 3)
    assert producer.flushed == 1


def test_a_request_that_fails_is_counted_and_frees_what_waited_for_it() -> None:
    client = FakeClient(lambda _: TransportError(expected="an answer", got="none", where="q"))
    producer = FakeProducer()
    result = _stream(client, producer).run(_listed(_request("a", "a1"), _event("a", "e1"), _request("a", "a2"), _event("a", "e2")))
    assert producer.sent == ["e1", "e2"]
    assert (result.requests, result.answered, result.unanswered) == (2, 0, 2)
    assert result.errors == {"expected an answer, got none": 2}


def test_a_client_that_takes_no_request_is_an_unanswered_request() -> None:
    class Full(FakeClient):
        def submit(self, request: FeedRequest) -> Future[FeedResponse]:
            raise TransportError(expected="a place", got="none", where="FeedClient")

    producer = FakeProducer()
    result = _stream(Full(), producer).run(_listed(_request("a", "a1"), _event("a", "e1")))
    assert (result.requests, result.unanswered, producer.sent) == (1, 1, ["e1"])


def test_a_file_that_cannot_be_written_does_not_hold_events_back() -> None:
    class Broken:
        def on_answer(self, *_: object) -> None:
            message = "no space left"
            raise OSError(message)

    producer = FakeProducer()
    stream = _stream(FakeClient(_page), producer, answers=cast(AnswerFile, Broken()))
    stream.run(_listed(_request("a", "a1"), _event("a", "e1")))
    assert producer.sent == ["e1"]


def test_an_empty_schedule_publishes_nothing() -> None:
    assert _stream(FakeClient(), FakeProducer()).run(_listed()).requests == 0
