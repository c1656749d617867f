"""Looks up the newest published version of a model."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from dataflows.kafka import Properties
from dataflows.kafka.clients import part_errors, read_batch
from schemas.codec import DecodeError
from schemas.learning import OnlineWeights
from schemas.validity import keyed

LOOK_BACK = 20
BATCH = 1_000
LOOKUP_S = 10.0


def newest_version(connection: Properties, topic: str, model: str) -> int:
    """Return the greatest version among a model's newest weights; 0 where there are none.

    The topic is read from its end backwards, each time ten times as far, until a record of the model is met: other models may publish
    far more often.

    Raises
    ------
    KafkaException
        If the broker does not answer.
    """
    own = {"group.id": "penstock.shows.nothing", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer({**connection, **own})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=LOOKUP_S)
        look_back, newest = LOOK_BACK, 0
        while newest == 0 and low < high:
            start = max(low, high - look_back)
            newest = _greatest(consumer, TopicPartition(topic, 0, start), model)
            if start == low:
                break
            look_back *= 10
        return newest
    finally:
        consumer.close()


def _greatest(consumer: Consumer, start: TopicPartition, model: str) -> int:
    consumer.assign([start])
    newest, at_end = 0, False
    while not at_end:
        messages, ends = part_errors(read_batch(consumer, BATCH, LOOKUP_S))
        at_end = bool(ends) or not messages
        for message in messages:
            try:
                weights = keyed(OnlineWeights, "model", message.key(), message.value() or b"")
            except DecodeError:
                continue
            if weights.model == model:
                newest = max(newest, weights.version)
    return newest
