"""Where the demo's events come from: simulated people, or a real log."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from schemas.settings import Settings
from serving.client import FeedClient
from serving.kuairand import KuaiRandLog, read_folder, schedule
from serving.loading import LogStream, publish_before_the_stream
from serving.local.home import Home
from serving.producer import TelemetryProducer
from serving.publisher import Publisher
from serving.settled import wait_until_settled
from serving.simulator import SimulationResult, World, simulate

_PAGE = 20
_MAIN_TAB = "1"


class Flow(threading.Thread, ABC):
    """Events and feed requests that flow in the background; `requests`, `answered` ... are read while it runs."""

    name_of_data: str
    surface: str | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="demo-flow", daemon=True)
        self.settings = settings
        self.stopping = threading.Event()
        self.failure: Exception | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Publish what must be there before the stream."""

    @abstractmethod
    def flow(self, client: FeedClient, producer: TelemetryProducer) -> None:
        """Stream until `stopping` is set."""

    @abstractmethod
    def totals(self) -> tuple[int, int, int, int, Counter[str], list[float]]:
        """Return requests, answered, unanswered, events, levels and latencies in ms so far."""

    @abstractmethod
    def kind_of(self, video_id: str) -> str | None:
        """Return what kind of video it is, for people to see."""

    @abstractmethod
    def now_ms(self) -> int:
        """Return the "now" of the events."""

    def run(self) -> None:
        """Stream with a client and a producer of its own."""
        kafka, prefix = self.settings.kafka(), self.settings.topic_prefix
        try:
            producer = TelemetryProducer(kafka, topic_prefix=prefix, linger=0.01)
            with producer, FeedClient(kafka, topic_prefix=prefix, timeout=10.0, hedge_after=0.2) as client:
                self.flow(client, producer)
        except Exception as error:
            self.failure = error


class SimulatedFlow(Flow):
    """People with tastes who ask `rate` times a second."""

    name_of_data = "simulator"

    def __init__(self, settings: Settings, *, rate: float, seed: int) -> None:
        super().__init__(settings)
        self.rate = rate
        self.world = World(seed=seed)
        self._result = SimulationResult()

    @override
    def prepare(self) -> None:
        with Publisher(self.settings.kafka(), topic_prefix=self.settings.topic_prefix) as publisher:
            for item in self.world.catalogue(self.now_ms()):
                publisher.publish("catalog.items", item.video_id, item)

    @override
    def flow(self, client: FeedClient, producer: TelemetryProducer) -> None:
        self._result = simulate(
            self.world, client, producer, rate=self.rate, seconds=float("inf"), on_progress=self._take, stop=self.stopping.is_set
        )

    def _take(self, result: SimulationResult) -> None:
        self._result = result

    @override
    def totals(self) -> tuple[int, int, int, int, Counter[str], list[float]]:
        found = self._result
        return found.requests, found.answered, found.unanswered, found.events, found.levels, found.latencies_ms

    @override
    def kind_of(self, video_id: str) -> str | None:
        return self.world.category(video_id)

    @override
    def now_ms(self) -> int:
        return int(time.time() * 1000)


class LoggedFlow(Flow):
    """A real log at `speed`, a feed asked for before each impression."""

    name_of_data = "kuairand"
    surface = _MAIN_TAB

    def __init__(self, settings: Settings, *, folder: Path, speed: float, say: Callable[[str], None]) -> None:
        super().__init__(settings)
        self.speed = speed
        self.say = say
        self.log: KuaiRandLog = read_folder(folder)
        self.log.check_times(folder)
        self._tags = dict(zip(map(str, self.log.catalogue.video_id.tolist()), self.log.catalogue.tags, strict=True))
        self._stream: LogStream | None = None

    @override
    def prepare(self) -> None:
        published = publish_before_the_stream(self.settings, self.log)
        self.say(f"{published['catalogue']} videos and {published['history']} histories published; waiting until they are worked in")
        wait_until_settled(Home.default(), timeout=180.0)

    @override
    def flow(self, client: FeedClient, producer: TelemetryProducer) -> None:
        self._stream = LogStream(client, producer, speed=self.speed)
        self._stream.run(schedule(self.log, requests=True, limit=_PAGE), stop=self.stopping.is_set)

    @override
    def totals(self) -> tuple[int, int, int, int, Counter[str], list[float]]:
        if self._stream is None:
            return 0, 0, 0, 0, Counter(), []
        found = self._stream.result
        return found.requests, found.answered, found.unanswered, found.events, found.levels, found.latencies_ms

    @override
    def kind_of(self, video_id: str) -> str | None:
        tags = self._tags.get(video_id, ())
        return tags[0] if tags else None

    @override
    def now_ms(self) -> int:
        return int(self.log["time_ms"][0]) if self._stream is None else self._stream.result.log_ms
