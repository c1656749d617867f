"""Where answers go: which topics are allowed, and when the cluster is asked what it has."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from dataflows.envelope import Envelope
from dataflows.reply_topics import LOOK_AGAIN_S, REFRESH_S, ReplyTopics
from schemas.codec import DecodeError
from schemas.partition import partition_for
from schemas.settings import Settings

RESPONSES = "p.feed.responses"


class Cluster:
    """A cluster whose topics grow, that can be away, on a clock of its own."""

    def __init__(self, **topics: int) -> None:
        self.topics = {RESPONSES: 8} | topics
        self.away = False
        self.looks = 0
        self.now = 0.0

    def look(self) -> dict[str, int]:
        self.looks += 1
        if self.away:
            raise KafkaException
        return dict(self.topics)

    def replies(self, *listed: str) -> ReplyTopics:
        own = [RESPONSES, "p.catalog.items", "p.feed.requests"]
        return ReplyTopics(default=RESPONSES, listed=listed, own=own, look=self.look, clock=lambda: self.now)


def envelope(topic: str | None = None, partition: int | None = None) -> Envelope:
    """A request that wants its answer somewhere."""
    fields = {} if topic is None else {"reply_topic": topic.encode()}
    if partition is not None:
        fields["reply_partition"] = str(partition).encode()
    return Envelope(topic="p.feed.requests", partition=0, offset=0, key=None, value=b"", stamp_ms=1, fields=fields)


def test_names_and_prefixes_are_allowed_and_our_own_topics_never() -> None:
    cluster = Cluster(**{"orders": 1, "shop.a": 3, "p.catalog.items": 1, "__consumer_offsets": 50})
    replies = cluster.replies("orders", "shop.*", "p.*", "__*")
    for topic in (None, RESPONSES, "orders", "shop.a"):
        replies.check(envelope(topic))
    for topic in ("orders2", "p.catalog.items", "p.feed.requests", "__consumer_offsets", "", "shop"):
        with pytest.raises(DecodeError, match=r"one of p\.feed\.responses, orders, shop"):
            replies.check(envelope(topic))
        assert replies.destination(envelope(topic, 2), "r") == (RESPONSES, partition_for(b"r", 8))


def test_a_listed_topic_that_does_not_exist_is_an_error_until_it_does() -> None:
    cluster = Cluster()
    replies = cluster.replies("shop.*")
    with pytest.raises(DecodeError, match=r"expected a topic that exists, got 'shop\.a', at header reply_topic"):
        replies.check(envelope("shop.a"))
    cluster.topics["shop.a"] = 2
    cluster.now += LOOK_AGAIN_S
    assert replies.destination(envelope("shop.a", 1), "r") == ("shop.a", 1)


def test_a_flood_of_topics_and_partitions_that_do_not_exist_looks_no_more_than_once_a_second() -> None:
    cluster = Cluster()
    replies = cluster.replies("*")
    for n in range(300):
        cluster.now += 0.01
        for wish in (envelope(f"topic-{n}"), envelope(None, 8 + n)):
            with pytest.raises(DecodeError):
                replies.check(wish)
    assert cluster.looks <= 4


def test_new_partitions_of_the_answer_topic_are_used_at_once_when_asked_for_and_soon_by_request_id() -> None:
    cluster = Cluster()
    replies = cluster.replies()
    replies.refresh()
    cluster.topics[RESPONSES] = 16
    cluster.now += LOOK_AGAIN_S
    replies.check(envelope(None, 15))
    cluster.topics[RESPONSES] = 32
    cluster.now += REFRESH_S
    replies.refresh()
    assert replies.destination(envelope(), "r") == (RESPONSES, partition_for(b"r", 32))


def test_while_the_cluster_says_nothing_what_was_known_holds_and_before_that_everything_listed_is_believed() -> None:
    cluster = Cluster(mine=2)
    cluster.away = True
    replies = cluster.replies("mine")
    replies.check(envelope("mine", 7))
    assert replies.destination(envelope("mine"), "r") == ("mine", -1)
    cluster.away, cluster.now = False, LOOK_AGAIN_S
    replies.refresh(older_than_s=LOOK_AGAIN_S)
    cluster.away, cluster.now = True, 100.0
    replies.refresh()
    assert replies.destination(envelope("mine", 1), "r") == ("mine", 1)
    with pytest.raises(DecodeError, match="expected a partition of mine, 0 to 1, got 7, at header reply_partition"):
        replies.check(envelope("mine", 7))


def test_the_setting_is_a_list_of_names_and_prefixes() -> None:
    assert Settings().reply_topic_names == []
    assert Settings(reply_topics=" a, b.*,,c ").reply_topic_names == ["a", "b.*", "c"]
    for wrong in ("a b", "a*b", "**", "ä"):
        with pytest.raises(ValueError, match="names of topics"):
            Settings(reply_topics=wrong)
