"""Looks up the newest published version of a model."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from dataflows.kafka import Properties
from dataflows.kafka.clients import Deadline, Faults, make_consumer, part_errors, read_batch
from schemas.broker_errors import is_passing
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
        If the broker does not answer, or not to the end: a version that is too small would be published again.
    """
    own: Properties = {"group.id": "penstock.shows.nothing", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    consumer = make_consumer(connection, own, Faults("newest"))
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
    newest, patience = 0, Deadline(LOOKUP_S)
    while True:
        messages, events = part_errors(read_batch(consumer, BATCH, LOOKUP_S))
        newest = max([newest, *(_version(message, model) for message in messages)])
        errors = [error for event in events if (error := event.error()) is not None]
        if any(error.code() == KafkaError._PARTITION_EOF for error in errors):
            return newest
        for error in errors:
            if not is_passing(error):
                raise KafkaException(error)
        if messages:
            patience = Deadline(LOOKUP_S)
        elif patience.over:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _version(message: Message, model: str) -> int:
    """Return the version of a record, 0 where it is another model's or keeps no contract."""
    try:
        weights = keyed(OnlineWeights, "model", message.key(), message.value() or b"")
    except DecodeError:
        return 0
    return weights.version if weights.model == model else 0
