"""The closed loop: who asks, who waits, and what is counted."""

from __future__ import annotations

from concurrent.futures import Future
from typing import cast

from schemas.feed import FeedRequest, FeedResponse, Level
from schemas.telemetry import RawEvent
from serving.client import FeedClient
from serving.errors import TransportError
from serving.producer import TelemetryProducer
from serving.simulator import World, simulate


class Client:
    """Answers at once, fails every request, or never answers."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.timeout = -0.9
        self.asked: list[str] = []

    def submit(self, request: FeedRequest) -> Future[FeedResponse]:
        self.asked.append(request.user_id)
        future: Future[FeedResponse] = Future()
        if self.how == "refuses":
            raise TransportError(expected="a place", got="none", where="FeedClient")
        if self.how == "answers":
            page = FeedResponse(request_id="r", user_id=request.user_id, now_ms=1, items=[], degradation_level=Level.FULL)
            future.set_result(page)
        return future


class Producer:
    def __init__(self) -> None:
        self.flushed = 0

    def send(self, _user_id: str, _events: list[RawEvent]) -> None:
        message = "nobody saw a video"
        raise AssertionError(message)

    def poll(self) -> None:
        return

    def flush(self) -> None:
        self.flushed += 1


def _run(how: str, people: int = 50, requests: int = 20) -> tuple[Client, Producer, object]:
    client, producer = Client(how), Producer()
    result = simulate(
        World(seed=1, people=people, videos=20),
        cast(FeedClient, client),
        cast(TelemetryProducer, producer),
        rate=1e6,
        seconds=5.0,
        stop=lambda: len(client.asked) >= requests,
    )
    assert result.requests == len(client.asked)
    assert producer.flushed == 1
    assert result.requests == result.answered + result.unanswered
    return client, producer, result.errors


def test_every_request_is_answered_or_not() -> None:
    client, _, errors = _run("answers")
    assert len(client.asked) == 20
    assert not errors


def test_a_refused_request_is_an_unanswered_one() -> None:
    _, _, errors = _run("refuses")
    assert errors == {"expected a place, got none": 20}


def test_nobody_asks_while_waiting_for_a_page() -> None:
    client, _, _ = _run("keeps silent", people=5, requests=5)
    assert sorted(client.asked) == sorted(set(client.asked))


def test_the_same_seed_asks_for_the_same_people() -> None:
    assert _run("answers")[0].asked == _run("answers")[0].asked
