"""Records that are read whole; reading itself is tested on the real broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Message

from schemas.catalog import Moderation
from schemas.codec import encode
from serving.reading import decoded_all

BLOCK = Moderation(kind="video", id="v", blocked=True, at_ms=1)


def test_a_record_that_somebody_wrote_wrongly_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    values = [b"{", encode(BLOCK), None, b"\xff"]
    messages = [Message(topic="control.moderation", partition=0, offset=n, value=value) for n, value in enumerate(values)]
    assert list(decoded_all(Moderation, messages)) == [BLOCK]
    assert [f"control.moderation/0/{n}" in one.getMessage() for n, one in zip((0, 2, 3), caplog.records, strict=True)] == [True] * 3
