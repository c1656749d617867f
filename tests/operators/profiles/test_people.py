"""What is known of a person after what happened."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.examples import T0_MS, event, histories, traffic
from operators.profiles.row import TagRow, UserRow, pack_row, unpack_row
from operators.profiles.seen import bits_of, hashes, positions, probe
from operators.profiles.told import ProfileTold
from operators.profiles.users import UserProfiles
from schemas.codec import pack, unpack
from schemas.features import N_COUNTERS, Counter, Pane, Profile, TagInterest, Taken, UserState
from schemas.keys import SEEN_BEFORE_STREAM, SEEN_BITS, seen_generation
from schemas.telemetry import Event, InteractionType, UserHistory
from serving.recount import Recount

HOUR_MS = 3_600_000
Kind = InteractionType


def state_after(*events: Event | UserHistory | ProfileTold, **settings: int | timedelta) -> UserState:
    profiles = UserProfiles(**settings)  # type: ignore[arg-type]
    profiles.on_batch(events)
    (update,) = profiles.on_time(0)
    return unpack(UserState, update.state)


def names(takens: list[Taken]) -> list[str]:
    return [one.video_id for one in takens]


def test_a_row_packs_to_the_bytes_of_the_contract() -> None:
    counts = list(range(N_COUNTERS))
    row = UserRow(
        "u",
        7,
        T0_MS,
        counts,
        [(1, counts)],
        {"t": TagRow(0.5, T0_MS, counts, [(1, counts)])},
        [("a", 1.0, 3)],
        [("b", 0.5, 4)],
        ["h"],
        ["c"],
        ["f"],
        3,
        2,
        Profile(birth_year=1990, region="DE", quiz=("t",)),
    )
    state = UserState(
        user_id="u",
        version=7,
        updated_ms=T0_MS,
        totals=counts,
        panes=[Pane(1, counts)],
        tags={"t": TagInterest(0.5, T0_MS, counts, [Pane(1, counts)])},
        positives=[Taken("a", 1.0, 3)],
        recent=[Taken("b", 0.5, 4)],
        hidden_videos=["h"],
        hidden_creators=["c"],
        followed_creators=["f"],
        seen_count=3,
        late=2,
        profile=Profile(birth_year=1990, region="DE", quiz=("t",)),
    )
    assert pack_row(row) == pack(state)
    assert unpack_row(pack(state)) == row


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_people_and_their_tags_are_what_a_recount_gives(seed: int, late_share: float) -> None:
    events = traffic(seed, 80, late_share=late_share)
    profiles, recount = UserProfiles(), Recount()
    profiles.on_batch(events)
    for one in events:
        recount.add(one)
    states = {update.user_id: unpack(UserState, update.state) for update in profiles.on_time(0)}
    for entity in recount.counts:
        name, _, tag = entity.partition("/tag:")
        if name.startswith("user:"):
            state = states[name.removeprefix("user:")]
            counted = state.tags[tag] if tag else state
            assert list(recount.compare(entity, counted.totals, counted.panes)) == []


def test_a_tag_moves_at_each_like_finish_and_skip() -> None:
    def weight(*kinds: Kind) -> float:
        events = [event(n, kind, tags=("cooking",), timestamp_ms=T0_MS) for n, kind in enumerate(kinds)]
        return state_after(*events).tags["cooking"].weight

    assert weight(Kind.IMPRESSION) == 0
    assert weight(Kind.LIKE) > weight(Kind.FINISH) > weight(Kind.LONG_VIEW) > weight(Kind.CLICK) > 0
    assert weight(Kind.FINISH, Kind.FINISH, Kind.FINISH) == pytest.approx(3 * weight(Kind.FINISH))
    assert weight(Kind.REPORT) < weight(Kind.NOT_INTERESTED) < weight(Kind.SKIP) < 0


def test_a_tags_weight_halves_in_its_half_life_and_a_late_event_counts_for_less() -> None:
    # like at t0 ── like at t0 + 2 h: 1/4 + 1;   the same two, the older one late: 1 + 1/4
    likes = [event(n, Kind.LIKE, tags=("t",), timestamp_ms=T0_MS + n * 2 * HOUR_MS) for n in (0, 1)]
    for order in (likes, likes[::-1]):
        tag = state_after(*order, interest_half_life=timedelta(hours=1)).tags["t"]
        assert tag.weight == pytest.approx(1.25)
        assert tag.at_ms == T0_MS + 2 * HOUR_MS


def test_recent_holds_the_last_distinct_videos_shown_newest_last() -> None:
    shown = [event(n, video_id=f"v{n % 4}") for n in range(6)]
    assert names(state_after(*shown).recent) == ["v2", "v3", "v0", "v1"]
    assert names(state_after(*shown, max_taken=2).recent) == ["v0", "v1"]


def test_a_watch_end_raises_the_strength_but_does_not_move_the_video() -> None:
    watched = event(2, Kind.WATCH_TIME, video_id="a", value=10.0, duration_ms=20_000)
    recent = state_after(event(0, video_id="a"), event(1, video_id="b"), watched).recent
    assert names(recent) == ["a", "b"]
    assert recent[0].weight == 0.5


def test_what_came_before_the_stream_is_older_than_all_of_it_and_feeds_no_window() -> None:
    history = UserHistory(user_id="u", watched=["a", "b"], long_viewed=["b"], liked=["a"])
    orders: list[list[Event | UserHistory]] = [[history, event(1, video_id="c")], [event(1, video_id="c"), history]]
    for order in orders:
        state = state_after(*order)
        assert names(state.recent) == ["a", "b", "c"]
        assert [one.at_ms for one in state.recent] == [0, 0, T0_MS + 1000]
        assert names(state.positives) == ["b", "a"]
        assert [one.weight for one in state.positives] == [0.5, 1.0]
        assert state.totals[Counter.IMPRESSIONS] == 1
        assert len(state.panes) == 1
        assert state.tags == {}


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_it_does_not_matter_when_the_history_arrives(seed: int, at: int) -> None:
    taken_back = {Kind.UNLIKE, Kind.UNFOLLOW, Kind.SKIP}
    events = [one for one in traffic(seed, 60, users=1, videos=20) if one.interaction_type not in taken_back]
    (history,) = histories(seed, users=1, videos=20)
    assert state_after(*events[:at], history, *events[at:]) == state_after(history, *events)


def test_a_history_that_comes_again_changes_no_list() -> None:
    history = UserHistory(user_id="u", watched=["a", "b"])
    assert names(state_after(history, history).recent) == ["a", "b"]


def test_what_the_person_does_not_want_is_hidden_and_no_longer_liked() -> None:
    by = {"creator_id": "c"}
    state = state_after(event(1, Kind.LIKE, video_id="a", **by), event(2, Kind.NOT_INTERESTED, video_id="a", **by))
    assert (names(state.positives), state.hidden_videos, state.hidden_creators) == ([], ["a"], [])
    state = state_after(event(1, Kind.REPORT, video_id="a", **by))
    assert (state.hidden_videos, state.hidden_creators) == (["a"], ["c"])


def test_followed_creators_are_listed_once_and_the_list_is_bounded() -> None:
    follows = [event(n, Kind.FOLLOW, creator_id=f"c{n % 4}") for n in range(8)]
    assert state_after(*follows).followed_creators == ["c0", "c1", "c2", "c3"]
    assert state_after(*follows, max_listed=2).followed_creators == ["c2", "c3"]


def test_the_longest_idle_tag_makes_room() -> None:
    events = [event(n, Kind.LIKE, tags=(f"t{n}",)) for n in range(4)]
    assert sorted(state_after(*events, max_tags=3).tags) == ["t1", "t2", "t3"]


def test_tags_of_a_quiz_count_as_a_little_interest_once_and_a_deleted_record_leaves_it() -> None:
    told = [ProfileTold("u", T0_MS, Profile(quiz=quiz)) for quiz in (("cats",), ("cats", "dogs"), ("cats", "dogs"))]
    state = state_after(*told)
    assert {tag: one.weight for tag, one in state.tags.items()} == {"cats": 0.3, "dogs": 0.3}
    assert (state.profile, state.updated_ms, state.seen_count) == (Profile(quiz=("cats", "dogs")), 0, 0)
    gone = state_after(*told, ProfileTold("u", T0_MS))
    assert (gone.profile, gone.tags) == (None, state.tags)


def test_a_person_without_a_tag_left_to_hold_keeps_the_ones_that_something_happened_to_last() -> None:
    events = [event(n, Kind.LIKE, tags=(tag,)) for n, tag in enumerate(("a", "b", "c", "a", "d"))]
    assert list(state_after(*events, max_tags=3).tags) == ["c", "a", "d"]


def test_versions_grow_with_every_event_also_after_being_forgotten() -> None:
    profiles = UserProfiles(max_users=2)
    profiles.on_batch([event(n, user_id="a") for n in range(5)])
    profiles.on_batch([event(n, user_id=f"b{n}") for n in range(10, 16)])
    assert profiles.forgotten > 0
    profiles.on_event(event(20, user_id="a"))
    versions = [update.version for update in profiles.on_time(0) if update.user_id == "a"]
    assert len(versions) == 2
    assert 5 == versions[0] < versions[1]


def test_shown_watched_and_liked_videos_are_marked_as_seen_in_the_generation_of_their_time() -> None:
    profiles = UserProfiles()
    profiles.on_batch([event(1, video_id="a"), event(2, Kind.WATCH_TIME, video_id="b"), event(3, Kind.LIKE, video_id="c")])
    profiles.on_event(UserHistory(user_id="u", watched=["d"]))
    (update,) = profiles.on_time(0)
    assert update.seen == {seen_generation(T0_MS): bits_of("a") + bits_of("b") + bits_of("c"), SEEN_BEFORE_STREAM: bits_of("d")}


@given(st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=60), st.sets(st.text(min_size=1, max_size=8), max_size=60))
def test_a_seen_video_is_always_found_and_another_one_hardly_ever(seen: set[str], others: set[str]) -> None:
    bitmap = bytearray(SEEN_BITS // 8)
    for video_id in seen:
        bits = bits_of(video_id)
        for at in range(0, len(bits), 2):
            bit = int.from_bytes(bits[at : at + 2], "big")
            bitmap[bit // 8] |= 128 >> bit % 8
    assert probe([bytes(bitmap)], hashes(seen)).all()
    assert probe([bytes(bitmap)], hashes(sorted(others - seen))).sum() <= 1
    packed = np.frombuffer(b"".join(map(bits_of, sorted(seen))), dtype=">u2").reshape(-1, 7)
    assert (packed == positions(hashes(sorted(seen)))).all()


def test_the_readable_hash_says_what_the_state_says() -> None:
    profiles = UserProfiles()
    watch = event(1, Kind.WATCH_TIME, video_id="v", value=5.0, duration_ms=20_000, tags=("cooking",))
    profile = ProfileTold("u", T0_MS, Profile(birth_year=1990, region="DE", language="de"))
    profiles.on_batch([watch, event(2, Kind.LIKE, video_id="v", tags=("cooking",)), profile])
    (update,) = profiles.on_time(0)
    assert update.readable == {
        "birth_year": "1990",
        "region": "DE",
        "language": "de",
        "version": "3",
        "last_active_timestamp": str(T0_MS + 2000),
        "average_completion_rate": "0.25",
        "seen": "1",
        "likes": "1",
        "watches": "1",
        "watch_ms": "5000",
        "tag_cooking_weight": "1",
    }
