"""What an interaction means is the same for every reader, and docs/contracts.md says it; run this as a module to write its table anew."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.cooccurrence.watched import watching
from operators.examples import T0_MS, event
from operators.interactions import MEANINGS, SHOWN, implied, table
from operators.joins.outcomes import POSITIVE, outcome_of
from operators.profiles.users import UserProfiles
from operators.trending.trending import Trending
from operators.windows.entities import EntityWindows
from schemas.catalog import MAX_TAGS
from schemas.codec import unpack
from schemas.features import Counter, EntityCounters, UserState
from schemas.learning import HEADS
from schemas.telemetry import Event, UserHistory
from schemas.telemetry import InteractionType as Kind

PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"
BEGIN, END = "<!-- interactions -->\n", "<!-- /interactions -->\n"
DURATION_MS = 12_400


def ingested(n: int, kind: Kind, *, repeated: bool = False, **fields: object) -> Event:
    """An event of a cooking video as ingest writes it."""
    value, completed = fields.get("value"), fields.get("completed")
    means = implied(kind, value=value, completed=completed, duration_ms=DURATION_MS, source="client")  # type: ignore[arg-type]
    shared = {"video_id": "cooking", "creator_id": "chef", "tags": ("cooking",), "category": "cooking", "duration_ms": DURATION_MS}
    return event(n, kind, implies=() if repeated else means, repeated=repeated, **(shared | fields))


def state_of(*happened: Event | UserHistory) -> UserState:
    profiles = UserProfiles()
    profiles.on_batch(happened)
    (update,) = profiles.on_time(0)
    return unpack(UserState, update.state)


def video_of(*happened: Event) -> EntityCounters:
    windows = EntityWindows()
    windows.on_batch(happened)
    return next(one for one in windows.on_time(0) if one.kind == "video")


def watched_to_the_end(n: int, video_id: str = "cooking") -> Event:
    return ingested(n, Kind.WATCH_TIME, video_id=video_id, value=12.4, completed=True)


def test_the_contracts_show_the_table() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == table(), "run python -m tests.operators.test_interactions"


def test_every_interaction_has_a_meaning_and_every_head_a_label() -> None:
    assert list(MEANINGS) == list(Kind)
    assert {head for meaning in MEANINGS.values() for head in meaning.heads} == set(HEADS)
    assert all("taken" in meaning.heads for meaning in MEANINGS.values() if meaning.positive)


def test_three_cooking_videos_watched_to_the_end_are_finishes_and_long_views_for_every_reader() -> None:
    watches = [watched_to_the_end(n, f"v{n}") for n in range(3)]
    state = state_of(*watches)
    counters = (Counter.WATCHES, Counter.FINISHES, Counter.LONG_VIEWS)
    assert [state.totals[counter] for counter in counters] == [3, 3, 3]
    assert [one.video_id for one in state.positives] == ["v0", "v1", "v2"]
    assert [one.weight for one in state.recent] == [1.0, 1.0, 1.0]
    assert state.tags["cooking"].weight == pytest.approx(3 * (0.6 + 0.5), rel=1e-4)
    assert state.seen_count == 3
    for one in watches:
        video = video_of(one)
        assert [video.totals[counter] for counter in counters] == [1, 1, 1]
        assert watching(one) is not None
        assert outcome_of(one, None, stamp_ms=0, watermark_ms=0).bits & POSITIVE
    trending = Trending()
    trending.on_batch(watches)
    lists = {one.scope: one for one in trending.on_time(0)}
    assert set(lists["category:cooking"].video_ids) == {"v0", "v1", "v2"}
    assert lists["global"].scores == pytest.approx([1.5] * 3, rel=1e-4)


def test_what_the_client_says_beside_its_watch_time_is_not_counted_twice() -> None:
    also = [ingested(1, Kind.FINISH, repeated=True), ingested(2, Kind.LONG_VIEW, repeated=True)]
    alone, both = state_of(watched_to_the_end(0)), state_of(watched_to_the_end(0), *also)
    assert (both.totals, both.positives, both.recent, both.seen_count) == (alone.totals, alone.positives, alone.recent, 1)
    assert both.tags == alone.tags
    assert video_of(watched_to_the_end(0), *also).totals == video_of(watched_to_the_end(0)).totals


@pytest.mark.parametrize(("give", "take"), [(Kind.LIKE, Kind.UNLIKE), (Kind.FOLLOW, Kind.UNFOLLOW)])
@pytest.mark.parametrize("minutes", [0, 7])
def test_what_is_taken_back_leaves_nothing_but_that_the_video_was_seen(give: Kind, take: Kind, minutes: int) -> None:
    happened = [ingested(0, give, timestamp_ms=T0_MS), ingested(1, take, timestamp_ms=T0_MS + 60_000 * minutes)]
    state, video = state_of(*happened), video_of(*happened)
    assert not any(state.totals) and not any(video.totals)
    assert not any(any(pane.counts) for pane in (*state.panes, *video.panes, *state.tags["cooking"].panes))
    assert state.tags["cooking"].weight == pytest.approx(0, abs=0.01)
    assert (state.positives, state.followed_creators, state.seen_count) == ([], [], 1)
    assert [one.weight for one in state.recent] == [SHOWN]


def test_no_reader_sees_less_than_nothing() -> None:
    happened = [ingested(n, kind) for n, kind in enumerate((Kind.UNLIKE, Kind.UNLIKE, Kind.UNFOLLOW, Kind.LIKE))]
    for counts in (state_of(*happened), video_of(*happened)):
        assert min(counts.totals) >= 0
        assert all(min(pane.counts) >= 0 for pane in counts.panes)
    assert min(video_of(*happened[:3]).decayed.values) >= 0  # type: ignore[union-attr]


def test_a_like_that_is_taken_back_leaves_a_video_that_was_watched_among_the_positives() -> None:
    state = state_of(watched_to_the_end(0), ingested(1, Kind.LIKE), ingested(2, Kind.UNLIKE))
    [positive] = state.positives
    assert positive.weight == pytest.approx(1.1)
    assert [one.weight for one in state.recent] == [1.0]


@pytest.mark.parametrize("kind", [Kind.SKIP, Kind.NOT_INTERESTED, Kind.REPORT])
def test_what_the_person_does_not_want_is_no_positive_and_has_no_strength(kind: Kind) -> None:
    state = state_of(watched_to_the_end(0), ingested(1, kind))
    assert state.positives == []
    assert [one.weight for one in state.recent] == [0.0]
    assert state.hidden_videos == ([] if kind is Kind.SKIP else ["cooking"])


def test_a_video_that_was_skipped_counts_again_when_it_is_really_watched_later_and_only_then() -> None:
    skip, moment = ingested(1, Kind.SKIP), ingested(2, Kind.WATCH_TIME, value=0.8)
    assert [one.weight for one in state_of(ingested(0, Kind.IMPRESSION), skip, moment, ingested(3, Kind.IMPRESSION)).recent] == [0.0]
    again = state_of(skip, watched_to_the_end(4))
    assert [one.weight for one in again.recent] == [1.0]
    assert [one.video_id for one in again.positives] == ["cooking"]


def test_a_skip_that_comes_late_does_not_undo_what_the_person_took_to_after_it() -> None:
    skip, finish = ingested(1, Kind.SKIP), watched_to_the_end(4)
    in_order, late = state_of(skip, finish), state_of(finish, skip)
    assert [one.weight for one in late.recent] == [one.weight for one in in_order.recent] == [1.0]
    assert late.positives == in_order.positives
    early = watched_to_the_end(0)
    assert state_of(skip, early).positives == state_of(early, skip).positives == []


def test_a_skip_that_was_derived_from_an_upstream_log_takes_nothing_back() -> None:
    state = state_of(ingested(0, Kind.IMPRESSION, source="upstream"), ingested(1, Kind.SKIP, source="derived"))
    assert [one.weight for one in state.recent] == [1.0]
    assert state.totals[Counter.SKIPS] == 1


@pytest.mark.parametrize("kind", [kind for kind, meaning in MEANINGS.items() if meaning.seen])
def test_whatever_is_done_with_a_video_marks_it_as_seen_without_an_impression(kind: Kind) -> None:
    assert state_of(ingested(0, kind)).seen_count == 1


def test_milestones_raise_the_strength_and_the_interest() -> None:
    kinds = (Kind.IMPRESSION, Kind.WATCH_25, Kind.WATCH_50, Kind.WATCH_75)
    happened = [ingested(n, kind) for n, kind in enumerate(kinds)]
    states = [state_of(*happened[: n + 1]) for n in range(len(kinds))]
    assert [state.recent[0].weight for state in states] == [SHOWN, 0.25, 0.5, 0.75]
    weights = [state.tags["cooking"].weight for state in states]
    assert weights == pytest.approx([0, 0, 0.1, 0.3], rel=1e-3)


def test_an_event_that_older_versions_wrote_counts_as_its_own_type() -> None:
    old = event(0, Kind.WATCH_TIME, value=12.4, completed=True, tags=("cooking",))
    state = state_of(old)
    assert (state.totals[Counter.WATCHES], state.totals[Counter.FINISHES]) == (1, 0)
    assert [one.weight for one in state.recent] == [1.0]


@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.integers(0, 40)), max_size=30))
def test_a_video_is_no_seed_after_whatever_came_last_was_a_skip(kinds: list[tuple[Kind, int]]) -> None:
    happened = [ingested(n, kind, timestamp_ms=T0_MS + 1_000 * at) for n, (kind, at) in enumerate(kinds)]
    state = state_of(*happened, ingested(99, Kind.SKIP, timestamp_ms=T0_MS + 60_000))
    assert state.positives == []
    assert [one.weight for one in state.recent] == [0.0]


def test_the_cost_of_an_event_is_bounded_whatever_its_tags() -> None:
    def seconds(tags_each: int) -> float:
        events = [event(n, video_id=f"v{n % 3}", tags=tuple(f"{n % 3}-{t}" for t in range(tags_each))) for n in range(200)]
        profiles, windows = UserProfiles(), EntityWindows()
        began = process_time()
        profiles.on_batch(events)
        windows.on_batch(events)
        profiles.on_time(0)
        windows.on_time(0)
        return process_time() - began

    assert seconds(2_000) < 4 * max(seconds(MAX_TAGS), 0.01)


def write() -> None:
    """Write the table of the contracts anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    write()
