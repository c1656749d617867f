"""What a verification calls wrong: each way in which a count can be off is made, and must be found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from redis import Redis

from operators.profiles.interest import TAGS_KEPT
from schemas import keys
from schemas.codec import pack
from schemas.dlq import DeadLetter, ReasonCode
from schemas.features import N_COUNTERS, Counter, EntityCounters, Pane, TagInterest, UserState
from schemas.settings import Settings
from schemas.telemetry import Event, InteractionType, Origin
from serving import verify as module
from serving.verify import Verifier, verify_until_settled

MINUTE = 28_000_000
LIKE = [int(counter is Counter.LIKES) for counter in Counter]


class Store:
    """States of people by key."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def mget(self, wanted: list[str]) -> list[bytes | None]:
        return [self.rows.get(key) for key in wanted]


class NothingToRead:
    def __init__(self, *_: object) -> None:
        self.looks = 0

    def advance(self, _on_progress: object) -> Iterator[Any]:
        self.looks += 1
        return iter(())


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def verifier(store: Store, monkeypatch: pytest.MonkeyPatch) -> Verifier:
    """A verifier of topics with the prefix `p.` that is fed by hand."""
    monkeypatch.setattr(module, "TopicReader", NothingToRead)
    return Verifier(Settings(topic_prefix="p."), cast(Redis, store))


def _batch(*ids: str) -> bytes:
    return msgspec.json.encode({"user_id": "u", "events": [{"event_id": each} for each in ids]})


def _event(event_id: str, offset: int, index: int = 0, tags: tuple[str, ...] = ("t",)) -> Event:
    return Event(
        event_id=event_id,
        user_id="u",
        video_id="v",
        interaction_type=InteractionType.LIKE,
        timestamp_ms=MINUTE * 60_000,
        received_ms=MINUTE * 60_000,
        origin=Origin(0, offset, index),
        tags=tags,
    )


def _letter(offset: int, index: int, topic: str = "p.telemetry.raw", reason: ReasonCode = ReasonCode.MALFORMED) -> DeadLetter:
    return DeadLetter(
        reason=reason, expected="x", got="y", path="$", topic=topic, partition=0, offset=offset, event_index=index, at_ms=1, raw=b""
    )


def _counters(kind: str, name: str, times: int = 1) -> EntityCounters:
    counts = [times * n for n in LIKE]
    assert kind in {"video", "creator", "tag"}
    return EntityCounters(kind=cast(Any, kind), id=name, version=1, updated_ms=1, totals=counts, panes=[Pane(MINUTE, counts)])


def _state(store: Store, tags: dict[str, int], times: int = 1) -> None:
    def totals(n: int) -> list[int]:
        return [n * each for each in LIKE]

    state = UserState(
        user_id="u",
        version=1,
        updated_ms=1,
        totals=totals(times),
        panes=[Pane(MINUTE, totals(times))],
        tags={tag: TagInterest(1.0, 1, totals(n), [Pane(MINUTE, totals(n))]) for tag, n in tags.items()},
        positives=[],
        recent=[],
        hidden_videos=[],
        hidden_creators=[],
        followed_creators=[],
    )
    store.rows[keys.user_state("u")] = bytes(keys.VERSION_BYTES) + pack(state)


def _one_good_event(verifier: Verifier, store: Store) -> None:
    verifier.take_raw(0, 0, _batch("a"))
    verifier.take_event(_event("a", 0))
    for kind, name in (("video", "v"), ("tag", "t")):
        verifier.take_entity(_counters(kind, name))
    _state(store, {"t": 1})


def test_all_is_well_where_every_event_is_counted_once(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    found = verifier.verify(["a"])
    assert found.ok
    assert (found.acknowledged, found.ingested, found.dead_lettered, found.lost, found.double) == (1, 1, 0, 0, 0)
    assert found.counters_checked == 4 * 2 * N_COUNTERS


def test_every_acknowledged_event_is_ingested_set_aside_or_lost(verifier: Verifier) -> None:
    verifier.take_raw(0, 0, _batch("a", "b", "c"))
    verifier.take_raw(0, 1, b"{")
    verifier.take_raw(0, 2, _batch("d", "e"))
    verifier.take_event(_event("a", 0))
    verifier.take_letter(_letter(0, 1))
    verifier.take_letter(_letter(1, -1))
    verifier.take_letter(_letter(2, -1))
    found = verifier.verify()
    assert (found.acknowledged, found.ingested, found.dead_lettered, found.lost) == (6, 1, 4, 1)
    assert found.lost_examples == ["telemetry.raw/0/0/2"]
    assert found.dead_letters == {"malformed": 3}
    assert not found.ok


def test_a_letter_of_another_topic_explains_no_event(verifier: Verifier) -> None:
    verifier.take_raw(0, 0, _batch("a"))
    verifier.take_letter(_letter(0, 0, topic="p.feed.requests"))
    assert verifier.verify().lost == 1


def test_an_acknowledged_id_that_is_not_on_the_topic_is_lost(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    found = verifier.verify(["a", "gone"])
    assert (found.lost, found.lost_examples, found.ok) == (1, ["gone"], False)


def test_a_repeat_after_a_crash_is_no_double_but_a_second_way_in_is(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    verifier.take_event(_event("a", 0))
    assert (verifier.verify().repeats, verifier.verify().double, verifier.verify().ok) == (1, 0, True)
    verifier.take_raw(0, 1, _batch("a"))
    verifier.take_event(_event("a", 1))
    assert verifier.verify().double == 1


@pytest.mark.parametrize("kind", ["video", "tag"])
def test_an_entity_counted_twice_is_named(verifier: Verifier, store: Store, kind: str) -> None:
    _one_good_event(verifier, store)
    name = {"video": "v", "tag": "t"}[kind]
    verifier.take_entity(_counters(kind, name, times=2))
    wrong = verifier.verify().counters_wrong
    assert [(each.entity, each.counter, each.expected, each.got) for each in wrong] == [(f"{kind}:{name}", "likes", 1, 2)] * 2


def test_an_entity_that_nobody_published_and_one_that_nobody_counted_are_wrong(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    verifier.take_raw(0, 1, _batch("b"))
    verifier.take_event(msgspec.structs.replace(_event("b", 1, tags=()), video_id="w"))
    verifier.take_entity(_counters("creator", "nobody"))
    _state(store, {"t": 1}, times=2)
    assert {each.entity for each in verifier.verify().counters_wrong} == {"video:w", "creator:nobody"}


def test_a_person_without_a_state_is_wrong(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    store.rows.clear()
    assert {each.entity for each in verifier.verify().counters_wrong} == {"user:u"}


@pytest.mark.parametrize("tags", [{}, {"t": 2}, {"t": 1, "made up": 1}])
def test_a_tag_that_is_missing_wrong_or_made_up_is_found(verifier: Verifier, store: Store, tags: dict[str, int]) -> None:
    _one_good_event(verifier, store)
    _state(store, tags)
    assert verifier.verify().counters_wrong


def test_tags_beyond_those_that_are_kept_are_not_compared(verifier: Verifier, store: Store) -> None:
    names = tuple(f"t{n}" for n in range(TAGS_KEPT + 1))
    verifier.take_raw(0, 0, _batch(*(f"e{n}" for n in range(len(names)))))
    for n, name in enumerate(names):
        verifier.take_event(_event(f"e{n}", 0, n, tags=(name,)))
    verifier.take_entity(_counters("video", "v", len(names)))
    for name in names:
        verifier.take_entity(_counters("tag", name))
    _state(store, dict.fromkeys(names[1:], 1), len(names))
    assert verifier.verify().ok


def test_it_looks_again_until_the_stream_has_settled_or_time_is_up(
    verifier: Verifier, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier.take_raw(0, 0, _batch("a"))
    monkeypatch.setattr("serving.verify.time.sleep", lambda _: _one_good_event(verifier, store))
    assert not verify_until_settled(verifier, wait=0.0).ok
    assert verify_until_settled(verifier, wait=30.0).ok


def test_what_was_let_through_from_another_place_is_a_duplicate_and_not_lost(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    verifier.take_raw(0, 1, _batch("a"))
    verifier.take_raw(0, 2, _batch("a").replace(b'"u"', b'"w"'))
    verifier.take_raw(0, 3, _batch("a"))
    verifier.take_letter(_letter(3, -1, reason=ReasonCode.DUPLICATE))
    found = verifier.verify()
    assert (found.duplicates, found.dead_lettered, found.lost_examples) == (2, 0, ["telemetry.raw/0/2/0"])


def test_a_batch_with_a_poisoned_event_is_read_as_ingest_reads_it(verifier: Verifier, store: Store) -> None:
    _one_good_event(verifier, store)
    verifier.take_raw(0, 1, b'{"user_id":"u","events":[{"event_id":"a"},{"value":NaN},{"event_id":"b"}]}')
    verifier.take_letter(_letter(1, 1))
    found = verifier.verify()
    assert (found.acknowledged, found.duplicates, found.dead_lettered, found.lost_examples) == (4, 1, 1, ["telemetry.raw/0/1/2"])
