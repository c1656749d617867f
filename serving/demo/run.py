"""Brings everything up, lets real events flow, watches, and sums up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from schemas.dlq import DeadLetter
from schemas.settings import Settings
from serving.client import FeedClient
from serving.connect import current_settings
from serving.demo.sources import Flow, LoggedFlow, SimulatedFlow
from serving.demo.story import BAD_USER, ChangedFeed, change_a_feed, send_bad_records
from serving.demo.summary import DemoSummary, judged
from serving.errors import PenstockError
from serving.local.home import Home
from serving.parts import choose_parts
from serving.percentile import percentile
from serving.probe import FreshnessProbe
from serving.producer import TelemetryProducer
from serving.reach import redis_client
from serving.state import read_state, supervisor_mark
from serving.system import Wanted, down, up
from serving.topic_reader import TopicReader, decoded_all

_STORY_AT = 0.4
_LOOK_EVERY_S = 0.25
_FIRST_FEED_WITHIN_S = 60.0
_LETTERS_WITHIN_S = 10.0

Say = Callable[[str], None]
Show = Callable[[DemoSummary, float], None]


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What to show.

    Parameters
    ----------
    seconds : float
        How long events flow.
    folder : Path or None
        Folder of a KuaiRand log; None lets simulated people ask.
    rate : float
        Feed requests per second of the simulated people.
    speed : float
        Seconds of the log per second.
    seed : int
        Of the simulated people.
    keep : bool
        Leave the system running.
    """

    seconds: float = 60.0
    folder: Path | None = None
    rate: float = 20.0
    speed: float = 600.0
    seed: int = 0
    keep: bool = False


def run_demo(options: DemoOptions, *, say: Say, show: Show) -> DemoSummary:
    """Run the demo and return its summary; what was started is stopped again, whatever happens.

    Raises
    ------
    PenstockError
        If the system does not come up.
    """
    started = time.monotonic()
    home = Home.default()
    ran_before = supervisor_mark(home) is not None
    up(home, Wanted(parts=choose_parts()), say)
    try:
        return _Demo(options, current_settings(), home, started, say).run(show)
    finally:
        if not (ran_before or options.keep):
            say("stopping everything")
            down(home)


class _Demo:
    def __init__(self, options: DemoOptions, settings: Settings, home: Home, started: float, say: Say) -> None:
        self.options = options
        self.settings = settings
        self.home = home
        self.started = started
        self.say = say
        self.flow: Flow = (
            SimulatedFlow(settings, rate=options.rate, seed=options.seed)
            if options.folder is None
            else LoggedFlow(settings, folder=options.folder, speed=options.speed, say=say)
        )
        self.first_feed_s: float | None = None
        self.flow_started = started
        self.story: ChangedFeed | None = None
        self.failures: list[str] = []
        self.bad_records = 0
        self.seconds = 0.0

    def run(self, show: Show) -> DemoSummary:
        store: Redis = redis_client(self.settings)
        letters = TopicReader(self.settings, ["telemetry.dlq"])
        for _ in letters.advance():
            pass
        kafka, prefix = self.settings.kafka(), self.settings.topic_prefix
        self.say(f"publishing the catalogue ({self.flow.name_of_data})")
        self.flow.prepare()
        with (
            FeedClient(kafka, topic_prefix=prefix, timeout=10.0, hedge_after=0.2) as client,
            TelemetryProducer(kafka, topic_prefix=prefix, linger=0.0) as for_probe,
            TelemetryProducer(kafka, topic_prefix=prefix, linger=0.0) as for_story,
        ):
            self._wait_for_first_feed(client)
            before = client.counts.unanswered
            probe = FreshnessProbe(client, for_probe, store, now_ms=self.flow.now_ms, surface=self.flow.surface)
            self.flow_started = time.monotonic()
            self.flow.start()
            probe.start()
            self._watch(client, for_story, probe, show)
            probe.end()
            self.flow.stopping.set()
            self.flow.join(timeout=60)
            if client.counts.unanswered > before:
                self.failures.append(f"{client.counts.unanswered - before} requests of the probe and the story went unanswered")
            self.seconds = time.monotonic() - self.flow_started
        if self.flow.failure is not None:
            self.failures.append(f"the flow of events ended early: {self.flow.failure}")
        reasons = self._take_letters(letters)
        letters.close()
        return judged(self._summary(probe, reasons))

    def _take_letters(self, letters: TopicReader) -> dict[str, int]:
        """Return how many dead letters of each reason came, waiting for those that were provoked."""
        found: dict[str, DeadLetter] = {}
        deadline = time.monotonic() + _LETTERS_WITHIN_S
        while True:
            found |= {letter.letter_id: letter for letter in decoded_all(DeadLetter, (message for _, message in letters.advance()))}
            of_ours = sum(letter.key == BAD_USER.encode() for letter in found.values())
            if of_ours >= self.bad_records or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if of_ours < self.bad_records:
            self.failures.append(f"{self.bad_records} bad records were sent, {of_ours} of them were set aside")
        return dict(Counter(letter.reason.value for letter in found.values()))

    def _wait_for_first_feed(self, client: FeedClient) -> None:
        deadline = time.monotonic() + _FIRST_FEED_WITHIN_S
        while time.monotonic() < deadline:
            try:
                page = client.feed("demo-first")
            except PenstockError as error:
                self.say(str(error))
                continue
            if page.items:
                self.first_feed_s = round(time.monotonic() - self.started, 2)
                self.say(f"first feed of {len(page.items)} videos after {self.first_feed_s} s")
                return
            time.sleep(0.1)

    def _watch(self, client: FeedClient, producer: TelemetryProducer, probe: FreshnessProbe, show: Show) -> None:
        end = self.flow_started + self.options.seconds
        while (left := end - time.monotonic()) > 0 and self.flow.is_alive():
            self.seconds = time.monotonic() - self.flow_started
            if self.story is None and self.seconds > _STORY_AT * self.options.seconds:
                self._tell_story(client, producer)
            show(self._summary(probe, {}), left)
            time.sleep(_LOOK_EVERY_S)
        if self.story is None:
            self._tell_story(client, producer)

    def _tell_story(self, client: FeedClient, producer: TelemetryProducer) -> None:
        try:
            self.story = change_a_feed(
                client,
                producer,
                self.flow.kind_of,
                user_id=f"demo-{int(time.time())}",
                now_ms=self.flow.now_ms,
                surface=self.flow.surface,
            )
            self.bad_records = send_bad_records(self.settings, now_ms=self.flow.now_ms())
        except PenstockError as error:
            self.failures.append(f"the story of one feed failed: {error}")

    def _summary(self, probe: FreshnessProbe, letters: dict[str, int]) -> DemoSummary:
        requests, answered, unanswered, events, levels, latencies = self.flow.totals()
        state = read_state(self.home)
        fresh = probe.freshness
        latencies = list(latencies)
        seconds = max(self.seconds, 0.001)
        return DemoSummary(
            data=self.flow.name_of_data,
            requests=requests,
            answered=answered,
            unanswered=unanswered,
            levels=dict(levels),
            feeds_per_s=round(answered / seconds, 1),
            feed_p50_ms=percentile(latencies, 0.5),
            feed_p99_ms=percentile(latencies, 0.99),
            events=events,
            events_per_s=round(events / seconds, 1),
            event_to_feature_p50_ms=percentile(fresh.event_to_feature_ms, 0.5),
            event_to_feature_p99_ms=percentile(fresh.event_to_feature_ms, 0.99),
            event_to_feed_p50_ms=percentile(fresh.event_to_feed_ms, 0.5),
            event_to_feed_p99_ms=percentile(fresh.event_to_feed_ms, 0.99),
            probes=len(fresh.event_to_feed_ms),
            probes_missed=fresh.missed,
            changed_feed=self.story,
            dead_letters=letters,
            bad_records_sent=self.bad_records,
            seconds_to_first_feed=self.first_feed_s,
            memory_mb={} if state is None else {part.name: part.memory_mb or 0.0 for part in state.parts},
            failures=list(self.failures),
        )
