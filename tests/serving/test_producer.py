"""What a producer does with a batch that its client library refuses; the rest is tested on the real broker."""

from __future__ import annotations

import pytest

from schemas.codec import encode
from schemas.telemetry import MAX_BATCH_BYTES, Context, InteractionType, RawEvent, TelemetryBatch
from serving.errors import ContractError, TransportError
from serving.producer import TelemetryProducer


def _event(name: str, surface: str = "1") -> RawEvent:
    return RawEvent(
        event_id=name, video_id="v", interaction_type=InteractionType.LIKE, timestamp=1_700_000_000_000, context=Context(surface=surface)
    )


def test_a_batch_that_is_too_large_is_reported_and_the_others_go_out() -> None:
    producer = TelemetryProducer({"bootstrap.servers": "127.0.0.1:1", "message.max.bytes": "1000"}, linger=60.0)
    producer.send("large", [_event(f"e{n}", "x" * 250) for n in range(10)])
    producer.send("small", [_event("e2")])
    with pytest.raises(TransportError, match=r"1 refused, the first: .*too large \(user large\)"):
        producer.flush(0.01)
    with pytest.raises(TransportError, match="1 left"):
        producer.flush(0.01)


def test_a_call_with_a_bad_event_sends_nothing() -> None:
    producer = TelemetryProducer({"bootstrap.servers": "127.0.0.1:1"}, linger=60.0)
    with pytest.raises(ContractError, match="event_id"):
        producer.send("42", [_event("good"), _event("")])
    producer.flush(0.01)


def test_a_batch_that_is_larger_than_ingest_takes_goes_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[TelemetryBatch] = []

    def take(_producer: TelemetryProducer, batch: TelemetryBatch, _value: bytes) -> None:
        sent.append(batch)

    monkeypatch.setattr(TelemetryProducer, "_produce", take)
    producer = TelemetryProducer({"bootstrap.servers": "127.0.0.1:1"}, linger=60.0, batch_size=1_000)
    events = [_event(f"e{n}", "😀" * 250) for n in range(1_000)]
    producer.send("42", events, device_id="d", context=Context(region="DE"))
    assert len(sent) > 1
    assert [event for batch in sent for event in batch.events] == events
    assert max(len(encode(batch)) for batch in sent) <= MAX_BATCH_BYTES
    assert {(batch.user_id, batch.device_id, batch.context) for batch in sent} == {("42", "d", Context(region="DE"))}


def test_a_text_that_utf_8_cannot_hold_is_refused_at_once_and_takes_nobody_else_along() -> None:
    producer = TelemetryProducer({"bootstrap.servers": "127.0.0.1:1"}, linger=60.0)
    producer.send("good", [_event("e1")])
    for user, event in (("42", "half \ud800"), ("\ud800", "e2")):
        with pytest.raises(ContractError, match="expected text that UTF-8 can hold"):
            producer.send(user, [_event(event)])
    with pytest.raises(TransportError, match="1 left"):
        producer.flush(0.01)
