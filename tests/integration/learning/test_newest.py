from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from dataflows.newest import newest_version
from schemas.codec import encode
from schemas.learning import OnlineWeights

pytestmark = pytest.mark.integration


def weights(model: str, version: int) -> bytes:
    return encode(OnlineWeights(model=model, version=version, feature_set="f", updated_ms=1, examples=1, heads={}))


def test_the_version_of_a_quiet_model_is_found_behind_thousands_of_records_of_another(kafka: str, make_topic: Callable[..., str]) -> None:
    topic, connection = make_topic(), {"bootstrap.servers": kafka}
    assert newest_version(connection, topic, "quiet") == 0
    producer = Producer(connection)
    producer.produce(topic, weights("quiet", 41), b"quiet", 0)
    producer.produce(topic, weights("quiet", 99), b"another", 0)
    for n in range(3_000):
        producer.produce(topic, weights("loud", n + 1), b"loud", 0)
    assert producer.flush(20) == 0
    assert newest_version(connection, topic, "quiet") == 41
    assert newest_version(connection, topic, "loud") == 3_000
    assert newest_version(connection, topic, "nobody") == 0
