"""The closed loop: people ask for feeds at a steady rate, and what they do with them goes back as telemetry."""

from __future__ import annotations

import queue
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from schemas.feed import FeedRequest, FeedResponse
from schemas.telemetry import Context
from serving.client import FeedClient
from serving.errors import PenstockError, kind_of
from serving.producer import TelemetryProducer
from serving.simulator.world import LANGUAGE, Person, World

Progress = Callable[["SimulationResult"], None]


@dataclass(slots=True)
class SimulationResult:
    """What a simulation has seen; `latencies_ms` are from the moment at which a request was due, so a stalled sender does not hide them."""

    requests: int = 0
    answered: int = 0
    unanswered: int = 0
    events: int = 0
    likes: int = 0
    seconds: float = 0.0
    levels: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def simulate(
    world: World,
    client: FeedClient,
    producer: TelemetryProducer,
    *,
    rate: float,
    seconds: float,
    limit: int = 10,
    on_progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SimulationResult:
    """Let the world's people ask for feeds and react to them, open loop.

    Parameters
    ----------
    world : World
        Who asks, and what they like; its catalogue must have been published.
    client, producer : FeedClient, TelemetryProducer
        The only two ways in which people touch the system.
    rate : float
        Feed requests per second in all, due at equal distances whether or not earlier ones were answered.
    seconds : float
        How long requests are made; answers under way are waited for after that.
    limit : int
        Videos per page.
    on_progress : callable or None
        Called about ten times a second with the result so far.
    stop : callable
        Ends the simulation early once it returns True.
    """
    loop = _Loop(world, client, producer, limit=limit)
    result = loop.result
    started = time.monotonic()
    due, told = started, started
    while time.monotonic() - started < seconds and not stop():
        now = time.monotonic()
        if due <= now:
            loop.ask(due)
            due += 1 / rate
        loop.take_in(wait=min(max(due - time.monotonic(), 0.0), 0.05))
        if on_progress is not None and now - told > 0.1:
            told, result.seconds = now, now - started
            on_progress(result)
    deadline = time.monotonic() + client.timeout + 1
    while loop.under_way and time.monotonic() < deadline:
        loop.take_in(wait=0.05)
    result.unanswered += len(loop.under_way)
    producer.flush()
    result.seconds = time.monotonic() - started
    return result


class _Loop:
    """The people who wait for a page, and the pages that have come and wait for their people."""

    def __init__(self, world: World, client: FeedClient, producer: TelemetryProducer, *, limit: int) -> None:
        self.world = world
        self.client = client
        self.producer = producer
        self.limit = limit
        self.result = SimulationResult()
        self.under_way: set[str] = set()
        self._rng = random.Random(world.seed)
        self._pages: queue.SimpleQueue[tuple[Person, float, Future[FeedResponse]]] = queue.SimpleQueue()

    def ask(self, due: float) -> None:
        """Let somebody who is not waiting already ask for a page that was due at `due`."""
        person = self._rng.choice(self.world.people)
        if person.user_id in self.under_way:
            return
        self.under_way.add(person.user_id)
        self.result.requests += 1
        request = FeedRequest(user_id=person.user_id, limit=self.limit, context=Context(region=person.region, language=LANGUAGE))
        try:
            future = self.client.submit(request)
        except PenstockError as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._pages.put((person, (time.monotonic() - due) * 1000, done)))

    def take_in(self, *, wait: float) -> None:
        """Let one person react to a page, waiting for it `wait` seconds at most."""
        try:
            person, latency_ms, done = self._pages.get(timeout=wait) if wait > 0 else self._pages.get_nowait()
        except queue.Empty:
            self.producer.poll()
            return
        self.under_way.discard(person.user_id)
        error = done.exception()
        if error is not None:
            self.result.unanswered += 1
            self.result.errors[kind_of(error)] += 1
            return
        page = done.result()
        self.result.answered += 1
        self.result.levels[page.degradation_level.value] += 1
        self.result.latencies_ms.append(latency_ms)
        liked = len(person.liked)
        events = self.world.react(person, page, int(time.time() * 1000))
        self.result.likes += len(person.liked) - liked
        if events:
            self.producer.send(person.user_id, events)
            self.result.events += len(events)
