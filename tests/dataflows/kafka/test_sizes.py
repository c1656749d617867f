"""What a sink writes fits its topic: as it is, cut, or as a dead letter in its place."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.kafka import Outgoing, Sizes, outgoing_letter
from dataflows.kafka.sizes import record_bytes
from schemas.codec import decode, encode
from schemas.dlq import DeadLetter, ReasonCode
from schemas.features import TrendingList
from schemas.topics import load_topics

PREFIX = "test."


def sizes(counted: Counter[str]) -> Sizes:
    return Sizes(load_topics().values(), prefix=PREFIX, count=lambda topic: counted.update([topic]), now_ms=lambda: 7)


@pytest.mark.parametrize("topic", load_topics())
@pytest.mark.parametrize("beyond", [-1, 0, 1, 5_000_000])
def test_on_every_topic_a_record_beyond_the_limit_becomes_a_bounded_letter_with_the_tag_of_the_record(topic: str, beyond: int) -> None:
    counted: Counter[str] = Counter()
    limit = load_topics()[topic].record_bytes
    value = b"x" * (limit + beyond - 3 - 13)
    item = Outgoing(PREFIX + topic, b"key", value, 2, [("h", b"12")], tag="tag")
    out = sizes(counted).fit(item)
    if beyond <= 0:
        assert out is item
        return
    assert (out.topic, out.tag, counted) == (PREFIX + "telemetry.dlq", "tag", {topic: 1})
    assert record_bytes(out) < 10_000
    letter = decode(DeadLetter, out.value or b"")
    assert (letter.reason, letter.topic, letter.partition, letter.key) == (ReasonCode.OVERSIZED, PREFIX + topic, 2, b"key")
    assert (letter.got, letter.raw, letter.raw_size) == (str(limit + beyond), value[:1_024], len(value))
    assert sizes(counted).fit(item).key == out.key


def test_a_record_is_cut_by_the_rule_of_its_contract() -> None:
    counted: Counter[str] = Counter()
    listed = TrendingList(scope="global", as_of_ms=1, half_life_ms=1, video_ids=["v" * 128] * 9_000, scores=[1.0] * 9_000)
    out = sizes(counted).fit(Outgoing(PREFIX + "features.trending", b"global", encode(listed), tag=1))
    assert (out.topic, out.key, out.tag, counted) == (PREFIX + "features.trending", b"global", 1, {"features.trending": 1})
    kept = decode(TrendingList, out.value or b"")
    assert 7_000 < len(kept.video_ids) == len(kept.scores) < 9_000
    assert record_bytes(out) <= load_topics()["features.trending"].record_bytes


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1_200_000), st.integers(0, 1_200_000), st.integers(0, 5_000_000))
def test_whatever_comes_in_fits(key: int, header: int, value: int) -> None:
    topic = PREFIX + "telemetry.events"
    out = sizes(Counter()).fit(Outgoing(topic, b"k" * key, b"v" * value, headers=[("name", b"h" * header)]))
    assert record_bytes(out) <= load_topics()[out.topic.removeprefix(PREFIX)].record_bytes


def test_topics_of_others_are_not_judged() -> None:
    item = Outgoing("somebody.elses", b"k", b"v" * 9_000_000)
    assert sizes(Counter()).fit(item) is item


def test_a_letter_of_the_largest_record_goes_out_whole_with_its_origin_as_headers() -> None:
    raw = b"\xff" * 1_048_576
    letter = DeadLetter(
        reason=ReasonCode.WRONG_TYPE,
        expected="a",
        got="b",
        path="$",
        topic="telemetry.raw",
        partition=3,
        offset=11,
        event_index=2,
        attempt=4,
        at_ms=1,
        raw=raw,
    )
    out = outgoing_letter(PREFIX + "telemetry.dlq", letter, tag="t")
    assert sizes(Counter()).fit(out) is out
    assert out.headers == [
        ("dlq_reason", b"wrong_type"),
        ("dlq_topic", b"telemetry.raw"),
        ("dlq_partition", b"3"),
        ("dlq_offset", b"11"),
        ("dlq_event_index", b"2"),
        ("dlq_attempt", b"4"),
    ]
