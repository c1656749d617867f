"""How far the parts have read: committed offsets of their consumer groups."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.settings import Settings
from schemas.topics import load_topics

_ANSWER_WITHIN_S = 10.0
_WRITERS_OF_LETTERS = "telemetry.dlq"


def next_offsets(settings: Settings, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return, per partition, the offset that every part which may set its records aside has come to.

    Parameters
    ----------
    settings : Settings
        Where the broker is.
    partitions : Iterable[tuple[str, int]]
        Topics by their full names, and partitions; those that no such part has read are left out, and those of a part whose group the
        broker does not tell of.
    """
    wanted = sorted(set(partitions))
    if not wanted:
        return {}
    admin = AdminClient({**settings.kafka(), "log_level": 0})
    found: dict[tuple[str, int], int] = {}
    unknown: set[tuple[str, int]] = set()
    for part in load_topics()[_WRITERS_OF_LETTERS].producers:
        places = [TopicPartition(topic, number) for topic, number in wanted if _reads(part, topic.removeprefix(settings.topic_prefix))]
        if not places:
            continue
        group = f"{settings.topic_prefix}penstock.{part}"
        request = ConsumerGroupTopicPartitions(group, places)
        try:
            answer = admin.list_consumer_group_offsets([request], request_timeout=_ANSWER_WITHIN_S)[group].result(_ANSWER_WITHIN_S)
        except KafkaException:
            unknown.update((place.topic, place.partition) for place in places)  # it has not run, or nobody knows
            continue
        for place in answer.topic_partitions:
            if place.offset >= 0:
                key = (place.topic, place.partition)
                found[key] = min(place.offset, found.get(key, place.offset))
    return {place: offset for place, offset in found.items() if place not in unknown}


def _reads(part: str, topic: str) -> bool:
    spec = load_topics().get(topic)
    return spec is not None and part in spec.consumers
