"""Tells which errors of a broker are transient, by their names in librdkafka, for every client of ours."""

from __future__ import annotations

from typing import Protocol

PASSING = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_TRANSPORT",
        "_RESOLVE",
        "_TIMED_OUT",
        "_MAX_POLL_EXCEEDED",
        "NOT_LEADER_FOR_PARTITION",
        "LEADER_NOT_AVAILABLE",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "NOT_COORDINATOR",
        "REBALANCE_IN_PROGRESS",
        "UNKNOWN_MEMBER_ID",
        "ILLEGAL_GENERATION",
    }
)
"""Errors that librdkafka gets over by itself: brokers restart, leaders and coordinators move, members rejoin."""

MISSING = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})


class BrokerError(Protocol):
    """An error as librdkafka tells it: ``confluent_kafka.KafkaError``."""

    def name(self) -> str:
        """Return its name in librdkafka, such as ``_TRANSPORT``."""
        ...

    def fatal(self) -> bool:
        """Return whether the client is of no more use."""
        ...

    def retriable(self) -> bool:
        """Return whether librdkafka itself says that the same may be tried again."""
        ...


def is_passing(error: BrokerError) -> bool:
    """Return whether the client will get over this error without us."""
    return not error.fatal() and (error.retriable() or error.name() in PASSING)


def is_missing(error: BrokerError) -> bool:
    """Return whether the broker does not know the topic or the partition, which may be new and not spread yet."""
    return error.name() in MISSING
