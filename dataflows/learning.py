"""learning.examples → predict, validate, learn → models.online, learning.metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream, StatefulBatchLogic
from bytewax.outputs import Sink

from dataflows.decoding import decode_batch
from dataflows.kafka import Batch, KafkaSink, KafkaSource, Outgoing, send
from dataflows.newest import newest_version
from dataflows.part import Count, Part, run_part
from operators.base import State
from operators.learners.online_ranking import OnlineRanking
from operators.ranking.features import FEATURE_SET, INITIAL, NAMES
from schemas.codec import encode
from schemas.learning import LabelledExample, LearningMetrics, OnlineWeights

MODEL = "online"
TICK = timedelta(milliseconds=100)

Learned = OnlineWeights | LearningMetrics


def build(
    source: Source[Batch],
    sink: Sink[Any],
    *,
    make: Callable[[], OnlineRanking],
    weights_topic: str,
    metrics_topic: str,
    count: Count,
    now: Callable[[], float] = time.time,
) -> Dataflow:
    """Wire the flow between its ends.

    Parameters
    ----------
    source, sink
        Batches of examples in, weights and metrics out.
    make
        Makes the learner.
    weights_topic, metrics_topic
        Where they go.
    count
        Counts examples by what became of them; `records` is all that is read.
    now
        The clock, epoch seconds; it paces what goes out, not what is learned.
    """

    def examples_of(batch: Batch) -> list[tuple[str, list[LabelledExample]]]:
        return [(MODEL, decode_batch(LabelledExample, batch, count))]

    def outgoing(keyed: tuple[str, Learned]) -> Outgoing:
        _, one = keyed
        if isinstance(one, OnlineWeights):
            return Outgoing(weights_topic, one.model.encode(), encode(one))
        return Outgoing(metrics_topic, f"{one.model}/{one.head}".encode(), encode(one))

    flow = Dataflow("learning")
    batches: Stream[Batch] = op.input("in", flow, source)
    examples: KeyedStream[list[LabelledExample]] = op.flat_map("decode", batches, examples_of)
    learned: KeyedStream[Learned] = op.stateful_batch("learn", examples, lambda state: Learner(make(), count, now, state))
    out: Stream[Outgoing] = op.map("encode", learned, outgoing)
    send("out", out, sink)
    return flow


class Learner(StatefulBatchLogic[list[LabelledExample], Learned, State]):
    """The one learner; after examples it asks every 100 ms whether weights or metrics are due."""

    def __init__(self, ranking: OnlineRanking, count: Count, now: Callable[[], float], state: State | None) -> None:
        self.ranking = ranking
        self.count = count
        self.now = now
        if state is not None:
            ranking.restore(state)
        self._counted = Counter(ranking.counts)

    def on_batch(self, values: list[list[LabelledExample]]) -> tuple[list[Learned], bool]:
        """Learn from what came."""
        for examples in values:
            self.ranking.on_batch(examples)
        for name, number in (self.ranking.counts - self._counted).items():
            self.count(name, number)
        self._counted = Counter(self.ranking.counts)
        return self.on_notify()

    def on_notify(self) -> tuple[list[Learned], bool]:
        """Return what is due."""
        return self.ranking.on_time(int(self.now() * 1000)), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Return the next tick, or None when nothing has changed."""
        return datetime.now(UTC) + TICK if self.ranking.has_news else None

    def snapshot(self) -> State:
        """Return the learner's state."""
        return self.ranking.snapshot()


def flow(part: Part) -> Dataflow:
    """Return the flow between Kafka topics."""
    examples, weights, metrics = part.topic("learning.examples"), part.topic("models.online"), part.topic("learning.metrics")
    are_there = part.wait_for_topics()
    count = part.count_by(part.counter("examples", "What became of labelled examples.", ["what"]))
    connection = part.settings.kafka()
    published = newest_version(connection, weights, MODEL) if are_there else 0
    source = KafkaSource(connection, [examples], group=part.group, shutdown=part.shutdown)
    part.watch_lag(source.lag)

    def make() -> OnlineRanking:
        return OnlineRanking(feature_set=FEATURE_SET, names=NAMES, initial=INITIAL, model=MODEL, published=published)

    return build(source, KafkaSink(connection, sizes=part.sizes), make=make, weights_topic=weights, metrics_topic=metrics, count=count)


def main() -> None:
    """Run the part."""
    run_part("learning", flow)


if __name__ == "__main__":
    main()
