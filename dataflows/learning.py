"""learning.examples → predict, validate, learn → models.online, learning.metrics, learning.drift."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from dataflows.decoding import decode_batch
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.learner import Learner
from dataflows.learning_metrics import Show, shown
from dataflows.newest import newest_version
from dataflows.part import Count, Part, run_part
from operators.learners.challenger import Challenger
from operators.learners.online_ranking import Learned, OnlineRanking
from operators.learners.ranking_model import LOGISTIC_HEADS
from operators.ranking.features import FEATURE_SET, INITIAL, NAMES
from schemas.codec import encode
from schemas.learning import DriftAlarm, LabelledExample, OnlineWeights
from schemas.settings import Settings

MODEL = "online"


def build(
    source: Source[Batch],
    sink: Sink[Any],
    *,
    make: Callable[[], OnlineRanking],
    weights_topic: str,
    metrics_topic: str,
    drift_topic: str,
    count: Count,
    show: Show = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of examples in, weights, metrics and alarms out.
    make
        Makes the learner.
    weights_topic, metrics_topic, drift_topic
        Where they go.
    count
        Counts examples by what became of them; `records` is all that is read.
    show
        Looks at the learner after each batch.
    now
        The clock, epoch seconds; it paces what goes out, not what is learned.
    """

    def examples_of(batch: Batch) -> list[tuple[str, list[LabelledExample]]]:
        return [(MODEL, decode_batch(LabelledExample, batch, count))]

    def outgoing(keyed: tuple[str, Learned]) -> Outgoing:
        _, one = keyed
        if isinstance(one, OnlineWeights):
            return Outgoing(weights_topic, one.model.encode(), encode(one))
        return Outgoing(drift_topic if isinstance(one, DriftAlarm) else metrics_topic, f"{one.model}/{one.head}".encode(), encode(one))

    flow = Dataflow("learning")
    batches: Stream[Batch] = op.input("in", flow, source)
    examples: KeyedStream[list[LabelledExample]] = op.flat_map("decode", batches, examples_of)
    learned: KeyedStream[Learned] = op.stateful_batch("learn", examples, lambda state: Learner(make(), count, show, now, state))
    out: Stream[Outgoing] = op.map("encode", learned, outgoing)
    send("out", out, sink)
    return flow


def challenger_of(settings: Settings) -> Challenger | None:
    """Return what the settings name to learn beside the champion, if anything."""
    if not settings.challenger:
        return None
    return Challenger(
        estimator=settings.challenger,
        params=settings.challenger_params,
        heads=LOGISTIC_HEADS,
        features=NAMES,
        share=settings.challenger_share,
        seed=settings.seed,
        clock=time.monotonic,
    )


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    examples, weights = part.topic("learning.examples"), part.topic("models.online")
    metrics, drift = part.topic("learning.metrics"), part.topic("learning.drift")
    are_there = part.wait_for_topics()
    count = part.count_by(part.counter("examples", "What became of labelled examples.", ["what"]))
    settings = part.settings
    connection = settings.kafka()
    published = newest_version(connection, weights, MODEL) if are_there else 0
    source = KafkaSource(connection, [examples], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)

    def make() -> OnlineRanking:
        return OnlineRanking(
            feature_set=FEATURE_SET,
            names=NAMES,
            initial=INITIAL,
            model=MODEL,
            detector=settings.drift_detector.removeprefix("none"),
            detector_params=settings.drift_params,
            challenger=challenger_of(settings),
            published=published,
        )

    return build(
        source,
        KafkaSink(connection, sizes=part.sizes),
        make=make,
        weights_topic=weights,
        metrics_topic=metrics,
        drift_topic=drift,
        count=count,
        show=shown(part),
    )


def main() -> None:
    """Run the part."""
    run_part("learning", flow)


if __name__ == "__main__":
    main()
