"""feed.served, telemetry.events → by user shard → join by token, else by video → learning.examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from confluent_kafka.admin import AdminClient

from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.label_shards import Inputs, Shard
from dataflows.page_files import PageFiles
from dataflows.part import Part, run_part
from dataflows.progress import Progress
from dataflows.secrets_file import token_secret
from operators.joins.inputs import Input
from operators.joins.served_outcomes import ServedOutcomes
from schemas.codec import encode
from schemas.learning import LabelledExample

LEARNER_PARTITION = 0
"""All examples go to one partition: the learner's weights depend on the order of its examples, so there must be one order."""


def build(source: Source[Batch], sink: Sink[Any], *, inputs: Inputs, make: Callable[[], ServedOutcomes], topic: str) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of both topics in, examples out.
    inputs
        Reads the batches.
    make
        Makes the join of one shard.
    topic
        Where examples go.
    """
    flow = Dataflow("labels")
    batches: Stream[Batch] = op.input("in", flow, source)
    by_shard: KeyedStream[tuple[int, list[Input]]] = op.flat_map("by_shard", batches, inputs.by_shard)
    examples: KeyedStream[LabelledExample] = op.stateful_batch("join", by_shard, lambda state: Shard(make(), inputs, state))
    outgoing: Stream[Outgoing] = op.map("encode", examples, lambda keyed: outgoing_example(topic, keyed[1]))
    send("out", outgoing, sink)
    return flow


def outgoing_example(topic: str, example: LabelledExample) -> Outgoing:
    """Return the record of an example."""
    return Outgoing(topic, example.user_id.encode(), encode(example), partition=LEARNER_PARTITION)


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    served, events, examples = part.topic("feed.served"), part.topic("telemetry.events"), part.topic("learning.examples")
    part.wait_for_topics()
    count = part.count_by(part.counter("labels", "What became of pages, events and tokens.", ["what"]))
    connection = part.settings.kafka()
    secret, pages = token_secret(part.settings), PageFiles(part.settings.home / "pages" / part.name)
    source = KafkaSource(connection, [served, events], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)
    inputs = Inputs(
        served=served,
        events=events,
        partitions=_count_partitions(part, [served, events]),
        progress=Progress(),
        count=count,
    )
    return build(
        source,
        KafkaSink(connection, sizes=part.sizes),
        inputs=inputs,
        make=lambda: ServedOutcomes(secret=secret, pages=pages),
        topic=examples,
    )


def _count_partitions(part: Part, topics: Sequence[str]) -> dict[str, int]:
    if part.shutdown.requested:
        # Nothing is read any more, and the topics may not be there.
        return dict.fromkeys(topics, 1)
    known = AdminClient(dict(part.settings.kafka())).list_topics(timeout=30).topics
    return {topic: len(known[topic].partitions) for topic in topics}


def main() -> None:
    """Run the part."""
    run_part("labels", flow)


if __name__ == "__main__":
    main()
