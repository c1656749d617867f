"""side topics → tables; feed.requests → retrieve → filter → rank → re-rank → feed.responses, feed.served; refused ones → telemetry.dlq.

One process per member of the consumer group. Every member reads the side topics whole and starts to answer when it has caught up.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.answering import Answering, Place, Topics
from dataflows.artifacts import ArtifactLoader
from dataflows.feed_metrics import FeedMetrics
from dataflows.kafka import Batch, GroupSource, KafkaSink, Outgoing, send
from dataflows.part import Part, run_part
from dataflows.reply_sink import ReplySink
from dataflows.reply_topics import ReplyTopics
from dataflows.secrets_file import token_secret
from dataflows.store import UserStore, connect
from operators.chain import feed_pipeline
from operators.feed import FeedEngine
from operators.ranking.features import FEATURE_SET, INITIAL_OBJECTIVE, N_FEATURES
from operators.tables.artifact import Announced, ArtifactError
from operators.tables.side import SideTables
from schemas.topics import load_topics

STORE_TIMEOUT_S = 0.1
MICRO_BATCH = 8
EPOCH = timedelta(seconds=10)


def build(source: Source[Any], replies: Sink[Any], lineage: Sink[Any], *, answering: Answering) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source
        Side batches and request batches.
    replies
        Takes answers.
    lineage
        Takes lineage records and dead letters.
    answering
        The step between.
    """
    flow = Dataflow("feed")
    batches: Stream[Batch] = op.input("in", flow, source)
    outgoing: Stream[Outgoing] = op.flat_map_batch("answer", batches, answering.on_batch)
    records = {answering.topics.served, answering.topics.letters}
    parted = op.branch("is_record", outgoing, lambda one: one.topic in records)
    send("record", parted.trues, lineage)
    send("reply", parted.falses, replies)
    return flow


def side_tables() -> SideTables:
    """Return empty side tables of the feed's feature set."""
    return SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=INITIAL_OBJECTIVE)


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    tables = side_tables()
    side = [part.topic(name) for name in tables.topics]
    requests, responses = part.topic("feed.requests"), part.topic("feed.responses")
    served, letters = part.topic("feed.served"), part.topic("telemetry.dlq")
    part.wait_for_topics()
    connection = part.settings.kafka()
    metrics = FeedMetrics(part)
    pipeline = feed_pipeline([metrics])
    metrics.names(pipeline.source_names, pipeline.reasons)

    def done(topic: str, partition: int, offset: int) -> None:
        source.done(topic, partition, offset)

    def not_loaded(announced: Announced, error: ArtifactError) -> None:
        metrics.event("artifact_not_loaded")
        part.log.error("an artifact could not be loaded, the old one stays", announced=announced.place, error=str(error))

    def settled(place: Place) -> None:
        answering.delivered(place)

    replies = ReplySink(
        connection,
        request_bytes=part.sizes.request_bytes,
        on_settled=settled,
        on_given_up=lambda: metrics.event("reply_given_up"),
    )
    answering = Answering(
        engine=FeedEngine(
            tables=tables,
            secret=token_secret(part.settings),
            seed=part.settings.seed,
            worker=f"{part.name}@{time.time_ns() // 1_000_000}",
            pipeline=pipeline,
            default_age=part.settings.default_age,
        ),
        store=UserStore(connect(part.settings, timeout_s=STORE_TIMEOUT_S)),
        loader=ArtifactLoader(part.settings.home, on_failure=not_loaded),
        topics=Topics(prefix=part.settings.topic_prefix, served=served, letters=letters),
        replies=ReplyTopics(
            default=responses,
            listed=part.settings.reply_topic_names,
            own=[part.settings.topic_prefix + name for name in load_topics()],
            look=replies.partitions,
        ),
        metrics=metrics,
        log=part.log,
        future_skew_ms=part.settings.future_skew_ms,
        done=done,
    )
    lineage = KafkaSink({"compression.type": "lz4", **connection}, sizes=part.sizes, on_delivered=answering.delivered, name="lineage")

    def turn() -> None:
        replies.poll()
        answering.replies.refresh()
        lineage.poll()
        if source.caught_up and source.joined:
            part.ready()

    # One member, one name: a worker that is back within the session timeout takes its partitions again without a rebalance.
    source = GroupSource(
        connection,
        requests,
        group=part.group,
        side_topics=side,
        instance_id=part.name,
        batch_size=MICRO_BATCH,
        on_turn=turn,
        shutdown=part.shutdown,
    )
    part.watch_lag(source.lag)
    return build(source, replies, lineage, answering=answering)


def main() -> None:
    """Run the part."""
    run_part("feed", flow, recovery=False, snapshot_interval=EPOCH, ready_at_start=False)


if __name__ == "__main__":
    main()
