"""The producer of telemetry: typed, batched per person, acknowledged by the broker, idempotent by event id."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import headers
from schemas.codec import encode
from schemas.telemetry import MAX_BATCH_BYTES, Context, RawEvent, TelemetryBatch
from serving.checked import checked
from serving.errors import TransportError

TOPIC = "telemetry.raw"

_log = logging.getLogger(__name__)

Acknowledge = Callable[[TelemetryBatch], None]
_Sender = tuple[str, str | None, Context | None]


class TelemetryProducer:
    """Sends interactions to `telemetry.raw`, keyed by user, `acks=all` and idempotent.

    Events of one person are gathered until `batch_size` of them or `linger` seconds have come; a batch is acknowledged when the broker
    has it on disk. A batch that is sent twice is counted once: ingest folds by event id.

    Parameters
    ----------
    kafka : Mapping[str, str]
        Connection properties of librdkafka (`Settings.kafka()`).
    batch_size : int
        Events of one person in a batch at most, 1 to 1,000.
    linger : float
        Seconds that an event waits for others at most; 0 sends each `send` at once.
    max_queued : int
        Batches not yet acknowledged at most; `send` waits beyond that.
    on_acknowledged : callable or None
        Called with each batch that the broker has acknowledged, on the thread that calls `send`, `poll` or `flush`.
    topic_prefix : str
        Prefix of every topic name, as in `Settings.topic_prefix`.

    Examples
    --------
    >>> event = RawEvent(event_id="e-1", video_id="v-1", interaction_type="like", timestamp=1_700_000_000_000)
    >>> with TelemetryProducer({"bootstrap.servers": "127.0.0.1:9092"}) as producer:  # doctest: +SKIP
    ...     producer.send("42", [event])
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        *,
        batch_size: int = 100,
        linger: float = 0.05,
        max_queued: int = 50_000,
        on_acknowledged: Acknowledge | None = None,
        topic_prefix: str = "",
    ) -> None:
        self.batch_size = batch_size
        self.linger = linger
        self.max_queued = max_queued
        self.on_acknowledged = on_acknowledged
        self.acknowledged = 0
        self._topic = topic_prefix + TOPIC
        self._producer = Producer(
            dict(kafka)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5,
                "topic.metadata.propagation.max.ms": 3_000,
                "compression.type": "lz4",
                "queue.buffering.max.messages": max_queued,
            },
            logger=_log,
        )
        self._lock = threading.RLock()  # a full queue takes in acknowledgements under it
        self._waiting: dict[_Sender, list[RawEvent]] = {}
        self._oldest = float("inf")
        self._failures: list[str] = []

    def send(self, user_id: str, events: list[RawEvent], *, device_id: str | None = None, context: Context | None = None) -> None:
        """Take in a person's events; `context` holds for all of them, where an event does not say otherwise.

        Raises
        ------
        ContractError
            If an event does not fit the contract; none of `events` is sent then.
        TransportError
            If an earlier batch could not be delivered.
        """
        checked(TelemetryBatch(user_id=user_id, device_id=device_id, context=context, events=events), whose=f"user {user_id!a}")
        with self._lock:
            sender = (user_id, device_id, context)
            waiting = self._waiting.setdefault(sender, [])
            waiting.extend(events)
            self._oldest = min(self._oldest, time.monotonic())
            if len(waiting) >= self.batch_size:
                self._send_batches(sender, self._waiting.pop(sender))
        self.poll()

    def poll(self) -> None:
        """Send what has waited long enough and take in acknowledgements; call it now and then where `send` is rare."""
        with self._lock:
            if time.monotonic() - self._oldest >= self.linger:
                self._send_waiting()
        self._producer.poll(0)
        self._raise_failures()

    def flush(self, timeout: float = 30.0) -> None:
        """Send all that waits and return when the broker has acknowledged it.

        Raises
        ------
        TransportError
            If something could not be delivered in time.
        """
        with self._lock:
            self._send_waiting()
        left = self._producer.flush(timeout)
        self._raise_failures()
        if left:
            raise TransportError(
                expected="every batch acknowledged", got=f"{left} left after {timeout} s", where=self._topic, do="run `penstock status`"
            )

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._oldest = float("inf")
        for sender, events in waiting.items():
            self._send_batches(sender, events)

    def _send_batches(self, sender: _Sender, events: list[RawEvent]) -> None:
        user_id, device_id, context = sender
        for start in range(0, len(events), self.batch_size):
            some = events[start : start + self.batch_size]
            self._fit(TelemetryBatch(user_id=user_id, device_id=device_id, context=context, events=some))

    def _fit(self, batch: TelemetryBatch) -> None:
        """Send a batch, in halves where it is larger than ingest takes."""
        value, half = encode(batch), len(batch.events) // 2
        if len(value) <= MAX_BATCH_BYTES or half == 0:
            self._produce(batch, value)
            return
        self._fit(msgspec.structs.replace(batch, events=batch.events[:half]))
        self._fit(msgspec.structs.replace(batch, events=batch.events[half:]))

    def _produce(self, batch: TelemetryBatch, value: bytes) -> None:
        fields = {headers.CE_ID: batch.events[0].event_id, headers.CE_TYPE: f"{TelemetryBatch.TYPE}.v{TelemetryBatch.VERSION}"}

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._failures.append(error.str())
                return
            with self._lock:
                self.acknowledged += len(batch.events)
            if self.on_acknowledged is not None:
                self.on_acknowledged(batch)

        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=batch.user_id.encode(),
                    value=value,
                    headers=[(name, value.encode()) for name, value in fields.items()],
                    on_delivery=on_delivery,
                )
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:  # too large, for one: the batches of others still go out
                self._failures.append(f"{error.args[0].str()} (user {batch.user_id})")
                return
            else:
                return

    def _raise_failures(self) -> None:
        if not self._failures:
            return
        failures, self._failures = self._failures, []
        raise TransportError(
            expected="every batch acknowledged",
            got=f"{len(failures)} refused, the first: {failures[0]}",
            where=self._topic,
            do="send those batches again: events are counted once by event_id",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.flush()
