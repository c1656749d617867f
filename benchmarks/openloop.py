"""Open-loop load: requests are due at equal distances whether or not earlier ones were answered.

Latencies run from the moment at which a request was due, not from its sending, so a stalled sender hides nothing (Tene, "How NOT to
Measure Latency": coordinated omission).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.feed import FeedRequest
from schemas.settings import Settings
from serving.client import FeedClient
from serving.errors import PenstockError


@dataclass(slots=True)
class Load:
    """What came of one load."""

    rate: float
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def answered_per_s(self) -> float:
        """Answers per second of the whole load."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0


def offer(settings: Settings, users: Sequence[str], *, rate: float, seconds: float, seed: int, limit: int = 20) -> Load:
    """Offer `rate` requests a second for `seconds` seconds, never hedged, and wait for what is under way.

    The people are drawn with a seed; requests are shadow ones, so that the next load finds the same people.
    """
    load = Load(rate)
    lock = threading.Lock()
    rng = random.Random(seed)
    with FeedClient(settings.kafka(), topic_prefix=settings.topic_prefix, timeout=10.0, max_attempts=1, max_in_flight=2_000) as client:
        started = time.monotonic()
        futures = []
        for number in range(int(rate * seconds)):
            due = started + number / rate
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            future = client.submit(FeedRequest(user_id=rng.choice(users), limit=limit, shadow=True))

            def on_done(_: object, due: float = due) -> None:
                with lock:
                    load.latencies_ms.append((time.monotonic() - due) * 1000)

            future.add_done_callback(on_done)
            futures.append(future)
        for future in futures:
            try:
                future.result()
            except PenstockError:
                load.failed += 1
        load.seconds = time.monotonic() - started
    return load


def saturation(settings: Settings, users: Sequence[str], *, start: float, step: float, seconds: float, most: float) -> Load:
    """Raise the rate step by step and return the last load that was carried: all answered, p99 under 0.5 s, no backlog left.

    A step that is not carried is tried once more: on a shared machine a neighbour can spoil one.
    """
    carried = Load(0.0)
    rate = start
    while rate <= most:
        tries = (offer(settings, users, rate=rate, seconds=seconds, seed=int(rate) + n) for n in range(2))
        load = next((load for load in tries if _is_carried(load)), None)
        if load is None:
            break
        carried = load
        rate *= step
    return carried


def _is_carried(load: Load) -> bool:
    ordered = sorted(load.latencies_ms)
    return not load.failed and bool(ordered) and ordered[int(len(ordered) * 0.99)] <= 500 and load.answered_per_s >= 0.95 * load.rate
