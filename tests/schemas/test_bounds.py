"""Numbers that no state could hold are refused where they come in, not where they are saved."""

from __future__ import annotations

import pytest

from schemas.catalog import CatalogItem
from schemas.codec import DecodeError, decode
from schemas.telemetry import Event

EVENT = b'{"event_id":"e","user_id":"u","video_id":"v","interaction_type":"like","timestamp_ms":1,"received_ms":1,"origin":[0,0,0]%s}'


@pytest.mark.parametrize("duration", [2**70, 2**62, -1])
def test_a_duration_that_cannot_be_is_no_catalogue_record_and_no_event(duration: int) -> None:
    with pytest.raises(DecodeError):
        decode(CatalogItem, b'{"video_id":"v","duration_ms":%d}' % duration)
    with pytest.raises(DecodeError):
        decode(Event, EVENT % (b',"duration_ms":%d' % duration))


def test_an_origin_beyond_64_bits_is_no_event() -> None:
    assert decode(Event, EVENT % b"").origin.offset == 0
    with pytest.raises(DecodeError):
        decode(Event, EVENT.replace(b"[0,0,0]", b"[0,%d,0]" % 2**70) % b"")
