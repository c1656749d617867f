"""Sends lines of JSON to the topic of their kind, each checked as the readers of that topic check it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec

from operators.ingest.parse import event_value
from schemas.base import Message
from schemas.codec import DecodeError, decode, encode
from schemas.dlq import ReasonCode
from schemas.settings import Settings
from schemas.telemetry import TelemetryBatch, UserHistory
from schemas.topics import load_topics
from schemas.validity import catalog_item, keyed, user_record
from serving.errors import ContractError
from serving.jsonl import LONGEST_LINE, Line
from serving.producer import TelemetryProducer
from serving.publisher import Publisher

TOPICS = {"events": "telemetry.raw", "catalogue": "catalog.items", "users": "users.records", "history": "telemetry.history"}
MAX_BAD_TOLD = 20
_TELL_EVERY = 100
_HEADER_BYTES = 128
"""Room for the headers of a record, but for the key, which stands in one of them again."""


@dataclass(slots=True)
class Sent:
    """What became of a file.

    Parameters
    ----------
    lines : int
        Lines read that were not blank.
    acknowledged : int
        Events, or records of another kind, that the broker has.
    bad : int
        Lines that do not fit their contract and were left out.
    bad_lines : list of str
        What was wrong with the first of them.
    stopped_at : int or None
        The line at which it stopped, None at the end of the file.
    cut : int
        Records of which something was longer than its bound, and was cut.
    """

    lines: int = 0
    acknowledged: int = 0
    bad: int = 0
    bad_lines: list[str] = field(default_factory=list)
    stopped_at: int | None = None
    cut: int = 0


Way: TypeAlias = Callable[[bytes], bool]
"""Sends a line and tells whether something of it was cut; raises DecodeError where the line does not fit its contract."""


def send_lines(way: Way, lines: Iterable[Line], sent: Sent, *, source: str, skip_bad: bool, on_progress: Callable[[], None]) -> None:
    """Send the lines of a file; `sent` is kept up to date, whatever happens, and `on_progress` is called every 100 lines.

    Raises
    ------
    ContractError
        At the first line that does not fit its contract, unless `skip_bad`.
    TransportError
        If the broker refuses something.
    """
    for line in lines:
        sent.lines += 1
        try:
            if line.too_long:
                expected = f"a line of at most {LONGEST_LINE:,} bytes"
                raise DecodeError(ReasonCode.OVERSIZED, expected=expected, got="a longer one", path="$")
            sent.cut += way(line.value)
        except DecodeError as error:
            refusal = ContractError(
                expected=error.expected, got=error.got, where=f"{source} line {line.number} {error.path}", do=_ADVICE[skip_bad]
            )
            if not skip_bad:
                sent.stopped_at = line.number
                raise refusal from None
            sent.bad += 1
            if len(sent.bad_lines) < MAX_BAD_TOLD:
                sent.bad_lines.append(str(refusal))
        if sent.lines % _TELL_EVERY == 0:
            on_progress()


_ADVICE = {False: "correct it, or leave bad lines out with --skip-bad", True: ""}


@contextmanager
def way_to_send(kind: str, settings: Settings, sent: Sent, on_event: Callable[[str], None]) -> Iterator[Way]:
    """Open the way for one kind.

    Leaving the block waits until the broker has everything, also after a bad line; `sent.acknowledged` says how much that is, and
    `on_event` hears the id of each event.
    """
    channel = _publish(kind, settings) if kind != "events" else _produce(settings, on_event)
    try:
        yield channel.way
    finally:
        try:
            channel.flush()
        finally:
            sent.acknowledged = channel.acknowledged()


class _Channel(NamedTuple):
    way: Way
    flush: Callable[[], None]
    acknowledged: Callable[[], int]


def _produce(settings: Settings, on_event: Callable[[str], None]) -> _Channel:
    def heard(batch: TelemetryBatch) -> None:
        for event in batch.events:
            on_event(event.event_id)

    producer = TelemetryProducer(settings.kafka(), topic_prefix=settings.topic_prefix, on_acknowledged=heard)

    def send(line: bytes) -> bool:
        batch = event_batch(line, earliest_ms=settings.earliest_ms, latest_ms=time.time_ns() // 1_000_000 + settings.future_skew_ms)
        producer.send(batch.user_id, batch.events, device_id=batch.device_id, context=batch.context)
        return False

    return _Channel(send, producer.flush, lambda: producer.acknowledged)


def event_batch(line: bytes, *, earliest_ms: int, latest_ms: int) -> TelemetryBatch:
    """Return the batch on a line, if ingest takes each of its events.

    Raises
    ------
    DecodeError
        If it does not fit its contract, or one of its events would become a dead letter.
    """
    batch = decode(TelemetryBatch, line)
    for index, event in enumerate(batch.events):
        try:
            event_value(event, earliest_ms=earliest_ms, latest_ms=latest_ms)
        except DecodeError as error:
            path = f"$.events[{index}]{error.path.removeprefix('$')}"
            raise DecodeError(error.reason, expected=error.expected, got=error.got, path=path) from None
    return batch


def _publish(kind: str, settings: Settings) -> _Channel:
    publisher = Publisher(settings.kafka(), topic_prefix=settings.topic_prefix)
    topic, read = TOPICS[kind], READERS[kind]
    largest = load_topics()[topic].record_bytes

    def send(line: bytes) -> bool:
        record = read(line)
        size = len(encode(record.message)) + 2 * len(record.key.encode()) + _HEADER_BYTES
        if size > largest:
            raise DecodeError(ReasonCode.OVERSIZED, expected=f"a record of at most {largest:,} bytes", got=f"{size:,} bytes", path="$")
        publisher.publish(topic, record.key, record.message)
        return record.cut

    return _Channel(send, publisher.flush, lambda: publisher.acknowledged)


class _Record(NamedTuple):
    key: str
    message: Message
    cut: bool = False


class _Ids(msgspec.Struct):
    video_id: str = ""
    user_id: str = ""


def _own_key(line: bytes, field_name: str) -> bytes:
    """Return the id that a line is to be keyed by, nothing where it has none: the contract says what is wrong with it then."""
    try:
        return str(getattr(msgspec.json.decode(line, type=_Ids), field_name)).encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return b""


def _catalogue(line: bytes) -> _Record:
    valid = catalog_item(_own_key(line, "video_id"), line)
    return _Record(valid.item.video_id, valid.item, bool(valid.cut))


def _user(line: bytes) -> _Record:
    record = user_record(_own_key(line, "user_id"), line)
    return _Record(record.user_id, record)


def _history(line: bytes) -> _Record:
    history = keyed(UserHistory, "user_id", _own_key(line, "user_id"), line)
    return _Record(history.user_id, history)


READERS: dict[str, Callable[[bytes], _Record]] = {"catalogue": _catalogue, "users": _user, "history": _history}
