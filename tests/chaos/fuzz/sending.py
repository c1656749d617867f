"""Puts a stated mix of generated records onto the topics, no faster than the parts take them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.settings import Settings
from tests.chaos.fuzz.feed_requests import FeedRequests, Headers
from tests.chaos.fuzz.keyed_records import CatalogRecords, UserRecords
from tests.chaos.fuzz.pieces import Clock
from tests.chaos.fuzz.side_records import SideRecords
from tests.chaos.fuzz.telemetry_records import N_USERS, N_VIDEOS, RawPayloads

MIX = {"raw": 0.60, "catalogue": 0.17, "users": 0.14, "requests": 0.03, "side": 0.06}
"""Shares of the kinds of records; nearly all are of some hundred bytes, some of each kind are as large as their topic takes."""
FATES = "fates"
"""Header that carries what must become of a raw record; no part reads it."""
CHUNK = 10_000

Sent = tuple[str, bytes | None, bytes | None, Headers]


class Sender:
    """Sends generated records.

    Parameters
    ----------
    settings
        Where the broker is.
    seed
        The same seed makes the same records, but for their times.
    now_ms
        The present.
    """

    def __init__(self, settings: Settings, *, seed: int, now_ms: int) -> None:
        self._producer = Producer(
            settings.kafka()
            | {"acks": "all", "linger.ms": 20, "compression.type": "lz4", "partitioner": "consistent", "message.max.bytes": 1_048_576},
        )
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        clock = Clock(now_ms)
        self._rng = Random(seed)
        raw = RawPayloads(Random(seed + 1), clock)
        catalogue = CatalogRecords(Random(seed + 2), clock, n=N_VIDEOS)
        users = UserRecords(Random(seed + 3), clock, n=N_USERS)
        requests = FeedRequests(Random(seed + 4), clock, n_users=N_USERS)
        side = SideRecords(Random(seed + 5))

        def of_raw() -> Sent:
            key, value, fates = raw()
            return "telemetry.raw", key, value, [(FATES, fates.encode())]

        self._made: dict[str, Callable[[], Sent]] = {
            "raw": of_raw,
            "catalogue": lambda: ("catalog.items", *catalogue(), []),
            "users": lambda: ("users.records", *users(), []),
            "requests": lambda: ("feed.requests", *requests()),
            "side": lambda: (*side(), []),
        }

    def chunks(self, n: int, *, until: float) -> Iterator[None]:
        """Send n records in chunks, each with its share of every kind; stop at `until` by the monotonic clock."""
        sent = 0
        while sent < n and time.monotonic() < until:
            size = min(CHUNK, n - sent)
            for kind in self._rng.choices(list(MIX), weights=list(MIX.values()), k=size):
                self._send(kind)
            sent += size
            yield

    def _send(self, kind: str) -> None:
        topic, key, value, headers = self._made[kind]()
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, headers=headers, on_delivery=self._on_delivery)
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                self.refused[f"{kind}: {error.args[0].name()}"] += 1
            else:
                self.counts[kind] += 1
            break
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused[f"{message.topic()}: {error.name()}"] += 1

    def flush(self) -> None:
        """Return when the broker has all of them."""
        assert self._producer.flush(120) == 0
