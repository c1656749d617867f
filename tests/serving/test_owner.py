"""Whose the topics are is asked for until a broker that has just started can say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.settings import Settings
from serving import broker, owner
from serving.errors import ServiceError


class Electing:
    """A consumer of a broker that answers `failures` times with an error, then that there is no such topic."""

    def __init__(self, code: int, failures: int) -> None:
        self.code = code
        self.failures = failures

    def list_topics(self, topic: str, *, timeout: float) -> SimpleNamespace:
        assert timeout > 0
        self.failures -= 1
        if self.failures >= 0:
            raise KafkaException(KafkaError(self.code))
        return SimpleNamespace(topics={topic: SimpleNamespace(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))})

    def close(self) -> None:
        """Leave nothing open."""


def test_an_election_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    electing = Electing(KafkaError.NOT_LEADER_FOR_PARTITION, failures=2)
    monkeypatch.setattr(broker, "Consumer", lambda *_, **__: electing)
    assert owner.newest_owner(Settings()) is None
    assert electing.failures == -1


def test_an_error_that_stays_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "Consumer", lambda *_, **__: Electing(KafkaError.TOPIC_AUTHORIZATION_FAILED, failures=9))
    with pytest.raises(ServiceError, match=r"control\.system"):
        owner.newest_owner(Settings())
