"""What a publisher does with a record before it goes out; the rest is tested on the real broker."""

from __future__ import annotations

import pytest

from schemas.catalog import CatalogItem
from schemas.topics import load_topics
from serving.errors import ContractError, TransportError
from serving.publisher import Publisher

NOWHERE = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.mark.parametrize("topic", load_topics())
def test_the_largest_record_of_every_topic_is_taken_and_no_larger_one(topic: str) -> None:
    publisher = Publisher(NOWHERE, topic_prefix="p.")
    largest = load_topics()[topic].record_bytes
    publisher.put(f"p.{topic}", b"k", b"x" * (largest - 1), 0, {})
    with pytest.raises(TransportError, match="1 left, 0 refused"):
        publisher.flush(0.01)
    publisher.put(f"p.{topic}", b"k", b"x" * largest, 0, {})
    with pytest.raises(TransportError, match=f"1 left, 1 refused: .* is too large for p.{topic}, which takes {largest:,}"):
        publisher.flush(0.01)


def test_a_message_that_does_not_fit_its_contract_is_refused_before_anything_is_sent() -> None:
    for name, why in (("", "1 to 128|at least 1"), ("half \ud800", "text that UTF-8 can hold")):
        with pytest.raises(ContractError, match=f"expected .*({why})"):
            Publisher(NOWHERE).publish("catalog.items", "k", CatalogItem(video_id=name))
