"""telemetry.events, telemetry.history, users.records → fold repeats → count → rows of people in Redis, features.items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from confluent_kafka import Message

from dataflows.bucketed import Pace
from dataflows.journal import Journal
from dataflows.journaled import journaled
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.part import Part, run_part
from dataflows.rewriting import RewritingStore
from dataflows.store import UserStore, connect
from dataflows.user_sink import UserSink
from operators.profiles.features import Arrived, FeatureFold
from operators.profiles.told import ProfileTold, told
from operators.profiles.update import UserUpdate
from operators.profiles.users import UserProfiles
from operators.windows.entities import EntityWindows
from schemas.codec import DecodeError, encode
from schemas.features import EntityCounters
from schemas.telemetry import Event, UserHistory
from schemas.validity import key_id, user_record

Count = Callable[[str, int], None]

STORE_TIMEOUT_S = 5.0
USERS_EVERY = timedelta(milliseconds=50)
ITEMS_EVERY = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=2)
WRITING_SHARE = 0.1
"""Of the time, at most; below about 2,000 events/s rows go out every USERS_EVERY all the same."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_event = msgspec.json.Decoder(Event).decode
_decode_history = msgspec.json.Decoder(UserHistory).decode
_decode_arrived = msgspec.msgpack.Decoder(list[Arrived]).decode


def build(
    source: Source[Batch],
    users: Sink[Any],
    items: Sink[Any],
    *,
    fold: FeatureFold,
    journal: Journal,
    pace: Pace,
    topics: Topics,
    count: Count,
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source
        Batches of clean events, histories and records of people.
    users
        Takes the rows of people, lists of UserUpdate under one key.
    items
        Takes the counters of videos, creators and tags, as Outgoing.
    fold
        A new operator.
    journal
        Where its input is kept, so that it is exact after a crash.
    pace
        How often rows come out.
    topics
        Names of the topics in the cluster.
    count
        Told what was read ("records") and what could not be ("rejected").
    """
    flow = Dataflow("features")
    batches: Stream[Batch] = op.input("in", flow, source)
    arrived: Stream[Sequence[Arrived]] = op.map("decode", batches, lambda batch: arrivals(batch, topics, count))
    changed: Stream[UserUpdate | EntityCounters] = journaled("fold", arrived, fold, journal=journal, decode=_decode_arrived, pace=pace)
    rows: KeyedStream[Sequence[UserUpdate]] = op.flat_map_batch("rows", changed, _rows)
    op.output("users", rows, users)
    counters: Stream[Outgoing] = op.flat_map_batch("counters", changed, lambda some: _counters(some, topics.items))
    send("items", counters, items)
    return flow


class Topics(msgspec.Struct, frozen=True):
    """Names in the cluster of the topics that the part reads and writes."""

    events: str = "telemetry.events"
    history: str = "telemetry.history"
    records: str = "users.records"
    items: str = "features.items"


def arrivals(batch: Batch, topics: Topics, count: Count) -> list[Arrived]:
    """Decode the messages of a batch; what is not valid is counted as rejected and left out."""
    out: list[Arrived] = []
    for topic, messages in batch.by_topic().items():
        if topic == topics.records:
            out += _records(messages, count)
            continue
        decode: Callable[[int, int, bytes], Arrived] = _event if topic == topics.events else _history
        places = zip(map(Message.partition, messages), map(Message.offset, messages), map(Message.value, messages), strict=True)
        read = [(partition or 0, offset or 0, value) for partition, offset, value in places if value is not None]
        try:
            out += [decode(*one) for one in read]
        except UNREADABLE:
            for one in read:
                try:
                    out.append(decode(*one))
                except UNREADABLE:
                    count("rejected", 1)
    count("records", len(batch))
    return out


def _event(partition: int, offset: int, value: bytes) -> Arrived:
    return Arrived(partition, offset, _decode_event(value))


def _history(partition: int, offset: int, value: bytes) -> Arrived:
    return Arrived(partition, offset, None, _decode_history(value))


def _records(messages: Sequence[Message], count: Count) -> list[Arrived]:
    out = []
    for message in messages:
        key, value, stamp_ms = message.key(), message.value(), message.timestamp()[1]
        try:
            one = ProfileTold(key_id(key), stamp_ms) if value is None else told(user_record(key, value), stamp_ms)
        except DecodeError:
            count("rejected", 1)
        else:
            out.append(Arrived(message.partition() or 0, message.offset() or 0, told=one))
    return out


class LongJournal(Journal):
    """A journal whose base is written anew only when it is `most` bytes long: a base takes some tenths of a second to write."""

    most: int = 48 << 20

    def rebase(self, blocks: Iterable[bytes]) -> None:
        """Begin the next generation, if the journal is long enough."""
        if self.length >= self.most:
            super().rebase(blocks)


def _rows(changed: list[UserUpdate | EntityCounters]) -> list[tuple[str, Sequence[UserUpdate]]]:
    rows = [one for one in changed if type(one) is UserUpdate]
    return [("", rows)] if rows else []


def _counters(changed: list[UserUpdate | EntityCounters], topic: str) -> list[Outgoing]:
    entities = [one for one in changed if type(one) is EntityCounters]
    return [Outgoing(topic, f"{one.kind}:{one.id}".encode(), encode(one)) for one in entities]


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics and Redis."""
    topics = Topics(*map(part.topic, ("telemetry.events", "telemetry.history", "users.records", "features.items")))
    connection = part.settings.kafka()
    source = KafkaSource(
        connection,
        [topics.events, topics.history, topics.records],
        group=part.group,
        batch_size=4_000,
        shutdown=part.shutdown,
    )
    part.watch_lag(source.lag)
    rejected = part.counter("features_rejected", "Records that are not valid.")
    forgotten = part.gauge("features_forgotten", "People, videos, creators and tags forgotten for want of room.")
    fold = FeatureFold(users=UserProfiles(), entities=EntityWindows(), items_every=ITEMS_EVERY)
    forgotten.set_function(lambda: fold.users.forgotten + fold.entities.forgotten)

    def count(what: str, n: int) -> None:
        if what == "records":
            part.progress(n)
        else:
            rejected.inc(n)

    journal = LongJournal(part.recovery_folder.with_suffix(".journal"))
    pace = Pace(least=USERS_EVERY, share=WRITING_SHARE, most=LONGEST_PAUSE)
    store = RewritingStore(UserStore(connect(part.settings, timeout_s=STORE_TIMEOUT_S)))
    users = UserSink(store, shutdown=part.shutdown, spent=pace.spent)
    return build(source, users, KafkaSink(connection, sizes=part.sizes), fold=fold, journal=journal, pace=pace, topics=topics, count=count)


def main() -> None:
    """Run the part."""
    run_part("features", flow)


if __name__ == "__main__":
    main()
