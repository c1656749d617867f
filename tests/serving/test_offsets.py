"""How far the parts have read, where the broker does not tell of all of them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from schemas.settings import Settings
from serving.offsets import next_offsets

SETTINGS = Settings(topic_prefix="p.")
ITEMS = ("p.catalog.items", 0)


class Admin:
    """A broker that knows of some groups; of one that is None it does not tell."""

    groups: dict[str, int | None]

    def __init__(self, _configuration: object) -> None:
        pass

    def list_consumer_group_offsets(
        self, requests: list[ConsumerGroupTopicPartitions], **_: object
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        (request,) = requests
        answer: Future[Any] = Future()
        offset = self.groups.get(request.group_id, -1001)
        if offset is None:
            answer.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        else:
            places = [TopicPartition(place.topic, place.partition, offset) for place in request.topic_partitions or ()]
            answer.set_result(ConsumerGroupTopicPartitions(request.group_id, places))
        return {request.group_id: answer}


@pytest.mark.parametrize(
    ("ingest", "catalog", "reached"),
    [(7, 5, {ITEMS: 5}), (4, 5, {ITEMS: 4}), (-1001, 5, {ITEMS: 5}), (-1001, -1001, {}), (7, None, {}), (None, 5, {})],
)
def test_a_record_counts_as_worked_on_when_every_part_is_past_it_and_none_where_one_is_not_told(
    monkeypatch: pytest.MonkeyPatch, ingest: int | None, catalog: int | None, reached: dict[tuple[str, int], int]
) -> None:
    monkeypatch.setattr("serving.offsets.AdminClient", Admin)
    monkeypatch.setattr(Admin, "groups", {"p.penstock.ingest": ingest, "p.penstock.catalog": catalog}, raising=False)
    assert next_offsets(SETTINGS, [ITEMS]) == reached


def test_topics_of_others_are_left_out() -> None:
    assert next_offsets(SETTINGS, []) == {}
