"""What is done where the broker does not tell of a topic's end; the rest is tested on the real broker."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from dataflows.newest import newest_version
from schemas.codec import encode
from schemas.learning import OnlineWeights

WEIGHTS = encode(OnlineWeights(model="m", version=41, feature_set="f", updated_ms=1, examples=1, heads={}))


def said(code: int | None) -> Message:
    """A record, or an error event."""
    if code is None:
        return Message(topic="models.online", partition=0, key=b"m", value=WEIGHTS)
    return Message(topic="models.online", partition=0, error=KafkaError(code))


class Reader:
    """A consumer of a topic of one record that says these things one after the other, then nothing."""

    says: list[Message]

    def __init__(self, *_configuration: object) -> None:
        self.left = list(self.says)

    def get_watermark_offsets(self, _partition: object, timeout: float) -> tuple[int, int]:
        return 0, 1

    def assign(self, _partitions: object) -> None:
        pass

    def poll(self, _timeout: float) -> Message | None:
        return self.left.pop(0) if self.left else None

    def consume(self, _most: int, _timeout: float) -> list[Message]:
        return []

    def close(self) -> None:
        pass


def newest(monkeypatch: pytest.MonkeyPatch, *says: int | None) -> int:
    monkeypatch.setattr("dataflows.newest.make_consumer", Reader)
    monkeypatch.setattr("dataflows.newest.LOOKUP_S", 0.01)
    monkeypatch.setattr(Reader, "says", [said(code) for code in says], raising=False)
    connection: dict[str, Any] = {}
    return newest_version(connection, "models.online", "m")


def test_the_end_of_the_topic_ends_the_search_and_a_passing_error_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest(monkeypatch, None, KafkaError._PARTITION_EOF) == 41
    assert newest(monkeypatch, KafkaError._PARTITION_EOF) == 0
    assert newest(monkeypatch, KafkaError._TRANSPORT, None, KafkaError._PARTITION_EOF) == 41


@pytest.mark.parametrize("says", [(), (None,), (KafkaError.TOPIC_AUTHORIZATION_FAILED,), (KafkaError._TRANSPORT,)])
def test_a_topic_that_was_not_read_to_its_end_is_no_topic_without_weights(monkeypatch: pytest.MonkeyPatch, says: tuple[int | None]) -> None:
    with pytest.raises(KafkaException):
        newest(monkeypatch, *says)
