"""telemetry.events, telemetry.history → last watches of each person → counts of pairs → features.neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.outputs import Sink
from confluent_kafka import Message

from dataflows.bucketed import Pace
from dataflows.caught_up import CaughtUp
from dataflows.decoding import decode_values
from dataflows.journal import Journal
from dataflows.journaled import journaled
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.part import Count, Part, run_part
from operators.cooccurrence.cowatch import CoWatch
from operators.cooccurrence.watched import Watched, WatchedBefore, Watching, watching
from schemas.codec import encode
from schemas.features import Neighbours
from schemas.telemetry import Event, UserHistory

_decode_batch = msgspec.msgpack.Decoder(list[Watched | WatchedBefore]).decode


def build(
    source: Source[Batch],
    sink: Sink[Any],
    *,
    cowatch: CoWatch,
    journal: Journal,
    history: str,
    topic: str,
    pace: Pace,
    count: Count,
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of events and of histories in, lists of neighbours out.
    cowatch
        A new operator.
    journal
        Where its input is kept.
    history, topic
        Where histories come from, and where lists go.
    pace
        How often changed lists are told.
    count
        Takes `records` (all that is read) and `undecodable`.
    """

    def watching_of(batch: Batch) -> Sequence[Watching]:
        count("records", len(batch))
        found: list[Watching] = []
        for name, messages in batch.by_topic().items():
            kind: type[Event] | type[UserHistory] = UserHistory if name == history else Event
            values = [value for value in map(Message.value, messages) if value is not None]
            found += [one for record in decode_values(kind, values, count) if (one := watching(record)) is not None]
        return found

    def outgoing(one: Neighbours) -> Outgoing:
        return Outgoing(topic, one.video_id.encode(), encode(one) if one.video_ids else None)

    flow = Dataflow("cooccurrence")
    batches: Stream[Batch] = op.input("in", flow, source)
    watches: Stream[Sequence[Watching]] = op.map("decode", batches, watching_of)
    lists: Stream[Neighbours] = journaled("cowatch", watches, cowatch, journal=journal, decode=_decode_batch, pace=pace)
    out: Stream[Outgoing] = op.map("encode", lists, outgoing)
    send("out", out, sink)
    return flow


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    events, history, lists = part.topic("telemetry.events"), part.topic("telemetry.history"), part.topic("features.neighbours")
    count = part.count_by(part.counter("cooccurrence", "What became of events and histories.", ["what"]))
    connection = part.settings.kafka()
    source = KafkaSource(connection, [history, events], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)
    return build(
        source,
        KafkaSink(connection, sizes=part.sizes),
        cowatch=CoWatch(),
        journal=Journal(part.settings.home / "cooccurrence"),
        history=history,
        topic=lists,
        pace=CaughtUp(least=timedelta(seconds=1), share=0.2, lag=lambda: sum(source.lag().values())),
        count=count,
    )


def main() -> None:
    """Run the part."""
    run_part("cooccurrence", flow)


if __name__ == "__main__":
    main()
