"""telemetry.events → decayed scores by scope → features.trending."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.bucketed import Pace, bucketed
from dataflows.decoding import decode_batch
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.part import Count, Part, run_part
from operators.trending.trending import Trending
from schemas.codec import encode
from schemas.features import TrendingList
from schemas.telemetry import Event


def build(source: Source[Batch], sink: Sink[Any], *, trending: Trending, topic: str, pace: Pace, count: Count) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of events in, trending lists out.
    trending
        A new operator.
    topic
        Where the lists go.
    pace
        How often changed lists are told.
    count
        Takes `records` (all that is read) and `undecodable`.
    """

    def outgoing(one: TrendingList) -> Outgoing:
        return Outgoing(topic, one.scope.encode(), encode(one) if one.video_ids else None)

    flow = Dataflow("trending")
    batches: Stream[Batch] = op.input("in", flow, source)
    events: Stream[list[Event]] = op.map("decode", batches, lambda batch: decode_batch(Event, batch, count))
    lists: Stream[TrendingList] = bucketed("trending", events, trending, pace)
    out: Stream[Outgoing] = op.map("encode", lists, outgoing)
    send("out", out, sink)
    return flow


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    events, lists = part.topic("telemetry.events"), part.topic("features.trending")
    count = part.count_by(part.counter("trending", "What became of events.", ["what"]))
    connection = part.settings.kafka()
    source = KafkaSource(connection, [events], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)
    pace = Pace(least=timedelta(seconds=1), share=0.2)
    return build(source, KafkaSink(connection, sizes=part.sizes), trending=Trending(), topic=lists, pace=pace, count=count)


def main() -> None:
    """Run the part."""
    run_part("trending", flow)


if __name__ == "__main__":
    main()
