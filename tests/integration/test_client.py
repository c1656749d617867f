"""The feed client over the real broker, answered by the echo service of the benchmarks."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks import echo
from schemas.feed import FeedRequest
from schemas.settings import Settings
from serving.broker import TopicMissing
from serving.client import FeedClient
from serving.errors import ContractError, TransportError

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: str, admin: AdminClient) -> Settings:
    """Settings with request and response topics of the test's own."""
    prefix = f"client-{uuid.uuid4().hex[:8]}."
    topics = [NewTopic(prefix + name, num_partitions=4, replication_factor=1) for name in ("feed.requests", "feed.responses")]
    for made in admin.create_topics(topics).values():
        made.result(timeout=30)
    return Settings(bootstrap_servers=kafka, topic_prefix=prefix)


@pytest.fixture
def worker(settings: Settings) -> Iterator[Callable[[], threading.Event]]:
    """Start an echo worker; the event that is returned stops it."""
    running: list[tuple[threading.Thread, threading.Event]] = []

    def start() -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=echo.serve, args=(settings, stop))
        thread.start()
        running.append((thread, stop))
        return stop

    yield start
    for thread, stop in running:
        stop.set()
        thread.join(timeout=20)


def _client(settings: Settings, timeout: float = 10.0, hedge_after: float = 0.06, **options: int) -> FeedClient:
    return FeedClient(settings.kafka(), topic_prefix=settings.topic_prefix, timeout=timeout, hedge_after=hedge_after, **options)


def _warm(client: FeedClient) -> None:
    """Ask until every partition of the request topic has a worker."""
    for future in [client.submit(FeedRequest(user_id=str(i)), timeout=20) for i in range(40)]:
        future.result()


def test_answers_reach_the_one_who_asked(settings: Settings, worker: Callable[[], threading.Event]) -> None:
    worker()
    with _client(settings) as one, _client(settings, reply_partition=1) as other:
        _warm(one)
        mine = [one.submit(FeedRequest(user_id=f"a{i}", request_id=f"a-{i}")) for i in range(50)]
        theirs = [other.submit(FeedRequest(user_id=f"b{i}", request_id=f"b-{i}")) for i in range(50)]
        assert [future.result().request_id for future in mine] == [f"a-{i}" for i in range(50)]
        assert [future.result().user_id for future in theirs] == [f"b{i}" for i in range(50)]


def test_asyncio_and_sync_give_the_same_answer(settings: Settings, worker: Callable[[], threading.Event]) -> None:
    worker()
    with _client(settings) as client:
        _warm(client)
        awaited = asyncio.run(client.ask_async(FeedRequest(user_id="42")))
        assert awaited.user_id == client.feed("42").user_id == "42"


def test_an_unanswered_request_fails_in_time_and_says_what_to_do(settings: Settings) -> None:
    with _client(settings, timeout=0.3) as client, pytest.raises(TransportError, match=r"none after 3 attempts.*penstock status"):
        client.feed("42")


def test_a_request_that_does_not_fit_its_contract_is_refused_before_it_is_sent(settings: Settings) -> None:
    with _client(settings) as client:
        with pytest.raises(ContractError, match="limit"):
            client.feed("42", limit=0)
        assert client.counts.sent == 0


@pytest.mark.parametrize("options", [{"reply_partition": 99}, {"max_in_flight": -1}])
def test_a_client_that_cannot_be_made_leaves_no_connection_behind(settings: Settings, options: dict[str, int]) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    with pytest.raises((ContractError, ValueError), match=r"reply partition from 0 to 3, got 99|>= 0") as kept:
        _client(settings, **options)
    assert threads() == before, f"the client lives on in the frames of {kept.value!r}"


def test_no_more_than_max_in_flight_wait_at_once(settings: Settings) -> None:
    with _client(settings, timeout=1.0, max_in_flight=2) as client:
        waiting = [client.submit(FeedRequest(user_id=str(i))) for i in range(2)]
        with pytest.raises(TransportError, match="in flight"):
            client.submit(FeedRequest(user_id="3"), timeout=0.1)
        for future in waiting:
            with pytest.raises(TransportError):
                future.result()


def test_a_dead_worker_costs_a_hedge_and_not_a_request(settings: Settings, worker: Callable[[], threading.Event]) -> None:
    """A member that joins the group and never answers owns half of the partitions, as a dead worker does until its session ends."""
    worker()
    with _client(settings, timeout=10.0) as client:
        _warm(client)
        from confluent_kafka import Consumer

        silent = Consumer(settings.kafka() | {"group.id": "penstock.echo", "session.timeout.ms": 6_000})
        silent.subscribe([settings.topic_prefix + "feed.requests"])
        while not silent.assignment():
            silent.poll(0.1)
        _warm(client)
        hedged = client.counts.hedged
        for i in range(100):
            assert client.feed(f"u{i}").user_id == f"u{i}"
        assert client.counts.unanswered == 0
        assert client.counts.hedged > 0
        assert client.counts.hedged - hedged < 50
        silent.close()


def test_one_who_gives_up_waiting_does_not_stop_the_others(settings: Settings, worker: Callable[[], threading.Event]) -> None:
    async def give_up(client: FeedClient) -> None:
        await asyncio.wait_for(client.ask_async(FeedRequest(user_id="0"), timeout=20), 0.05)

    with _client(settings) as client:
        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(give_up(client))
        worker()
        _warm(client)
        assert client.feed("42").user_id == "42"


def test_closing_fails_what_is_under_way_and_what_comes_later(settings: Settings) -> None:
    client = _client(settings)
    waiting = client.submit(FeedRequest(user_id="1"))
    client.close()
    client.close()
    with pytest.raises(TransportError, match="expected an open client"):
        waiting.result(0)
    with pytest.raises(TransportError, match="expected an open client"):
        client.submit(FeedRequest(user_id="1"))


def test_an_error_of_the_clients_own_thread_fails_its_requests(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_client: FeedClient, _now: float) -> None:
        message = "out of luck"
        raise RuntimeError(message)

    with _client(settings) as client:
        waiting = client.submit(FeedRequest(user_id="1"))
        monkeypatch.setattr(FeedClient, "_on_time", broken)
        with pytest.raises(TransportError, match="expected an open client"):
            waiting.result(20)


def test_a_missing_topic_is_named(kafka: str) -> None:
    with pytest.raises(TopicMissing, match=r"expected a topic of the cluster, got .*, at nowhere\.feed\.requests;"):
        FeedClient({"bootstrap.servers": kafka}, topic_prefix="nowhere.")
