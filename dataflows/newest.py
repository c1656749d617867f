"""What stands at the end of a compacted topic of one partition."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from dataflows.kafka import Properties
from dataflows.kafka.clients import part_errors, read_batch
from schemas.codec import DecodeError, decode
from schemas.learning import OnlineWeights

LOOK_BACK = 20
LOOKUP_S = 10.0


def newest_version(connection: Properties, topic: str, model: str) -> int:
    """Return the greatest version of a model's weights among the last records of its topic; 0 where there is none.

    Raises
    ------
    KafkaException
        If the broker does not answer.
    """
    own = {"group.id": "penstock.shows.nothing", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer({**connection, **own})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=LOOKUP_S)
        consumer.assign([TopicPartition(topic, 0, max(low, high - LOOK_BACK))])
        newest, at_end = 0, high <= low
        while not at_end:
            messages, ends = part_errors(read_batch(consumer, LOOK_BACK, LOOKUP_S))
            at_end = bool(ends) or not messages
            for message in messages:
                try:
                    weights = decode(OnlineWeights, message.value() or b"")
                except DecodeError:
                    continue
                if weights.model == model:
                    newest = max(newest, weights.version)
        return newest
    finally:
        consumer.close()
