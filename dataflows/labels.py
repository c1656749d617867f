"""feed.served, telemetry.events → by user shard → join by token, else by video → learning.examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from confluent_kafka.admin import AdminClient

from dataflows.barrier import Barrier, Item, send_with_barriers
from dataflows.checkpoint import Checkpoints
from dataflows.claims import Claims
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing
from dataflows.kafka.clients import count_partitions
from dataflows.keeper import Keeper
from dataflows.label_shards import Checkpoint, Inputs, Owned, Shard, Turn
from dataflows.objects import Objects
from dataflows.page_files import PageFiles
from dataflows.part import Part, run_part
from dataflows.progress import Progress
from dataflows.secrets_file import token_secret
from operators.joins.served_outcomes import ServedOutcomes
from schemas.codec import encode
from schemas.learning import LabelledExample
from schemas.sharding import SHARDS

LEARNER_PARTITION = 0
"""All examples go to one partition: the learner's weights depend on the order of its examples, so there must be one order."""


PAGE_BYTES, SEGMENT_BYTES = (512 << 20) // SHARDS, (32 << 20) // SHARDS
"""Pages of a shard on disk, and the size of one file of them."""


def build(
    source: Source[Batch],
    sink: Sink[Any],
    *,
    inputs: Inputs,
    make: Callable[[int], ServedOutcomes],
    topic: str,
    save: Callable[[Checkpoint], None] | None = None,
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of both topics in, examples out.
    inputs
        Reads the batches.
    make
        Makes the join of a shard.
    topic
        Where examples go.
    save
        Takes a shard's checkpoint when all that came before it is acknowledged; None makes none.
    """

    def outgoing(keyed: tuple[str, LabelledExample | Checkpoint]) -> Item:
        one = keyed[1]
        if isinstance(one, Checkpoint):
            return Barrier(partial(save, one) if save is not None else lambda: None)
        return outgoing_example(topic, one)

    flow = Dataflow("labels")
    batches: Stream[Batch] = op.input("in", flow, source)
    by_shard: KeyedStream[Turn] = op.flat_map("by_shard", batches, inputs.by_shard)
    joined: KeyedStream[LabelledExample | Checkpoint] = op.stateful_batch(
        "join", by_shard, lambda _: Shard(make, inputs, saves=save is not None)
    )
    out: Stream[Item] = op.map("encode", joined, outgoing)
    send_with_barriers("out", out, sink)
    return flow


def outgoing_example(topic: str, example: LabelledExample) -> Outgoing:
    """Return the record of an example."""
    return Outgoing(topic, example.user_id.encode(), encode(example), partition=LEARNER_PARTITION)


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    served, events, examples = part.topic("feed.served"), part.topic("telemetry.events"), part.topic("learning.examples")
    part.wait_for_topics()
    settings = part.settings
    owned = Owned(_count_partitions(part, [served, events]), worker=settings.worker, workers=settings.workers)
    keeper = Keeper(Checkpoints(Objects(part.checkpoints)), owned.shards)
    part.at_end(keeper.finish)
    inputs = Inputs(
        served=served,
        events=events,
        owned=owned,
        progress=Progress(),
        count=part.count_by(part.counter("labels", "What became of pages, events and tokens.", ["what"])),
        saved=_claimed(part, owned, keeper.checkpoints),
    )
    connection, secret = settings.kafka(), token_secret(settings)
    source = KafkaSource(
        connection, [served, events], group=part.group, partitions=owned.partitions, start=inputs.start(), shutdown=part.shutdown
    )
    part.watch_lag(source.lag)

    def join(shard: int) -> ServedOutcomes:
        folder = settings.home / "pages" / part.program / str(shard)
        return ServedOutcomes(secret=secret, pages=PageFiles(folder, max_bytes=PAGE_BYTES, segment_bytes=SEGMENT_BYTES))

    def save(checkpoint: Checkpoint) -> None:
        keeper.write(checkpoint.shard, checkpoint.taken())

    return build(source, KafkaSink(connection, sizes=part.sizes), inputs=inputs, make=join, topic=examples, save=save)


def _claimed(part: Part, owned: Owned, checkpoints: Checkpoints) -> dict[int, Checkpoint]:
    """Wait until no other process has the shards, and return their checkpoints."""

    def told(shard: int) -> None:
        part.log.warning("another process has a shard, waiting", shard=shard, do="end the workers of the former number")

    claims = Claims(part.settings.home / "recovery" / part.program)
    if part.shutdown.requested or not claims.take(owned.shards, give_up=lambda: part.shutdown.requested, on_wait=told):
        return {}
    found = {shard: checkpoints.load(shard) for shard in owned.shards}
    return {shard: Checkpoint.of(shard, saved) for shard, saved in found.items() if saved is not None}


def _count_partitions(part: Part, topics: Sequence[str]) -> dict[str, int]:
    if part.shutdown.requested:
        # Nothing is read any more, and the topics may not be there.
        return dict.fromkeys(topics, SHARDS)
    client = AdminClient(dict(part.settings.kafka()))
    return {topic: count_partitions(client, topic, 30.0) for topic in topics}


def main() -> None:
    """Run the part."""
    run_part("labels", flow, recovery=False)


if __name__ == "__main__":
    main()
