import pytest
from confluent_kafka import KafkaError

from dataflows.kafka import GroupSource, KafkaSink, KafkaSource, TransportError
from dataflows.kafka.clients import Faults
from schemas.broker_errors import is_passing

NOWHERE = {"bootstrap.servers": "127.0.0.1:1"}


def test_a_single_text_is_not_a_list_of_topics() -> None:
    with pytest.raises(ValueError, match="expected a list of one or more topics, got 'events'"):
        KafkaSource(NOWHERE, "events", group="g")


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at batch_size"):
        KafkaSource(NOWHERE, ["events"], group="g", batch_size=0)
    with pytest.raises(ValueError, match="at batch_size"):
        GroupSource(NOWHERE, "requests", group="g", batch_size=0)


def test_an_idempotent_sink_needs_all_acknowledgements() -> None:
    with pytest.raises(ValueError, match="idempotent=False"):
        KafkaSink(NOWHERE, acks="1")


def test_a_group_source_shares_by_processes_not_by_workers() -> None:
    with pytest.raises(ValueError, match="expected 1 worker, got 2"):
        GroupSource(NOWHERE, "requests", group="g").build("in", 0, 2)


def test_a_restarting_broker_passes_and_a_missing_permission_does_not() -> None:
    assert is_passing(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert is_passing(KafkaError(KafkaError._TRANSPORT))
    assert not is_passing(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert not is_passing(KafkaError(KafkaError._TRANSPORT, "gone for good", fatal=True))


def test_only_a_fatal_fault_is_raised() -> None:
    faults = Faults("in.kafka")
    faults(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    faults.raise_fatal()
    faults(KafkaError(KafkaError.FENCED_INSTANCE_ID, "another one took over", fatal=True))
    with pytest.raises(TransportError, match=r"FENCED_INSTANCE_ID: another one took over, at in\.kafka"):
        faults.raise_fatal()
