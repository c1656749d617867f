from confluent_kafka import Message

from dataflows.kafka import Batch, SideBatch

MESSAGES = [
    Message("a", 0, 4, b"k1", b"v1"),
    Message("b", 1, 9, b"k2", None),
    Message("a", 0, 7, b"k3", b"v3"),
    Message("a", 2, 1, None, b"v4"),
]


def test_columns_keep_the_order_and_a_tombstone_is_none() -> None:
    batch = Batch(MESSAGES)
    assert len(batch) == 4
    assert list(batch) == MESSAGES
    assert batch.values() == [b"v1", None, b"v3", b"v4"]
    assert batch.keys() == [b"k1", b"k2", b"k3", None]


def test_messages_are_parted_by_topic_in_order() -> None:
    assert Batch(MESSAGES).by_topic() == {"a": [MESSAGES[0], MESSAGES[2], MESSAGES[3]], "b": [MESSAGES[1]]}


def test_the_next_offset_is_after_the_last_message_of_each_partition() -> None:
    assert SideBatch(MESSAGES).next_offsets() == {("a", 0): 8, ("b", 1): 10, ("a", 2): 2}
    assert Batch([]).next_offsets() == {}
