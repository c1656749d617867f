from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.catalog import CatalogItem
from schemas.feed import FeedRequest
from schemas.telemetry import RawEvent, UserHistory
from serving.kuairand import Publication, before_the_stream, read_folder, request_id_for, schedule

WriteFolder = Callable[..., Path]


def impression(**values: int) -> dict[str, int]:
    return {"user_id": 1, "video_id": 1, "date": 20300101, "time_ms": 1_000, "tab": 1} | values


def kinds(publications: list[Publication]) -> list[tuple[int, str]]:
    return [(each.at_ms, each.kind) for each in publications]


def event(publication: Publication) -> RawEvent:
    assert isinstance(publication.message, RawEvent)
    return publication.message


def test_outcomes_are_known_when_the_watch_ended(write_folder: WriteFolder) -> None:
    #  time   1000                1100                1400
    #  user 1 impression          .                   watch_time click long_view
    #  user 2 .                   impression, skip at 1101
    rows = [
        impression(play_time_ms=400, is_click=1, long_view=1),
        impression(user_id=2, time_ms=1_100, play_time_ms=1),
    ]
    published = list(schedule(read_folder(write_folder(rows))))
    assert kinds(published) == [
        (1_000, "impression"),
        (1_100, "impression"),
        (1_101, "watch_time"),
        (1_101, "skip"),
        (1_400, "watch_time"),
        (1_400, "click"),
        (1_400, "long_view"),
    ]
    assert [each.key for each in published] == ["1", "2", "2", "2", "1", "1", "1"]


def test_on_the_two_column_surface_a_click_is_known_at_once_and_nothing_is_a_skip(write_folder: WriteFolder) -> None:
    rows = [impression(tab=0, play_time_ms=50, is_click=1), impression(tab=0, time_ms=2_000, video_id=2, play_time_ms=50)]
    assert kinds(list(schedule(read_folder(write_folder(rows))))) == [
        (1_000, "impression"),
        (1_000, "click"),
        (1_050, "watch_time"),
        (2_000, "impression"),
        (2_050, "watch_time"),
    ]


def test_a_video_that_never_played_was_not_watched_and_not_skipped(write_folder: WriteFolder) -> None:
    assert kinds(list(schedule(read_folder(write_folder([impression()]))))) == [(1_000, "impression")]


def test_every_flag_becomes_its_event_and_says_whether_its_time_is_derived(write_folder: WriteFolder) -> None:
    flags = ["is_click", "long_view", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "is_profile_enter"]
    published = list(schedule(read_folder(write_folder([impression(play_time_ms=10, **dict.fromkeys(flags, 1))]))))
    assert {each.kind: event(each).source for each in published} == {
        "impression": "upstream",
        "watch_time": "upstream",
        "click": "upstream",
        "long_view": "upstream",
        "like": "derived",
        "follow": "derived",
        "comment": "derived",
        "share": "derived",
        "not_interested": "derived",
        "profile_enter": "derived",
    }
    assert {each.at_ms for each in published[1:]} == {1_010}


def test_watch_time_is_in_seconds_and_completion_needs_a_known_duration(write_folder: WriteFolder) -> None:
    rows = [
        impression(video_id=1, play_time_ms=1_500, duration_ms=1_500),
        impression(video_id=1, time_ms=2_000, play_time_ms=799),
        impression(video_id=2, time_ms=3_000, play_time_ms=9_000),
        impression(video_id=77, time_ms=4_000, play_time_ms=9_000),
    ]
    watched = [event(each) for each in schedule(read_folder(write_folder(rows))) if each.kind == "watch_time"]
    # The second takes the catalogue's 800 ms; the others have no duration anywhere.
    watched.sort(key=lambda each: each.timestamp)
    assert [(each.value, each.completed) for each in watched] == [(1.5, True), (0.799, False), (9.0, None), (9.0, None)]


def test_a_request_comes_before_every_impression_of_its_instant(write_folder: WriteFolder) -> None:
    rows = [impression(tab=4), impression(video_id=2, tab=4), impression(user_id=2, tab=4, play_time_ms=7)]
    published = list(schedule(read_folder(write_folder(rows)), requests=True, limit=30))
    assert [each.kind for each in published[:6]] == ["request"] * 3 + ["impression"] * 3
    request = published[1].message
    assert isinstance(request, FeedRequest)
    assert (request.user_id, request.request_id, request.ts_ms, request.limit) == ("1", request_id_for(1), 1_000, 30)
    assert request.shadow
    assert request.context is not None
    assert request.context.surface == "4"


def test_event_ids_do_not_depend_on_how_the_log_is_split_into_files(write_folder: WriteFolder) -> None:
    early, late = impression(play_time_ms=5), impression(time_ms=9_000, play_time_ms=5)
    whole = {event(each).event_id for each in schedule(read_folder(write_folder([early, late])))}
    part = {event(each).event_id for each in schedule(read_folder(write_folder([late])))}
    assert len(whole) == 6
    assert part < whole


def test_the_catalogue_and_the_histories_come_before_the_stream(write_folder: WriteFolder) -> None:
    published = list(before_the_stream(read_folder(write_folder())))
    assert Counter(each.kind for each in published) == {"catalogue": 3, "history": 1}
    assert {each.at_ms for each in published} == {1_000}
    assert [each.key for each in published] == ["1", "2", "3", "1"]
    assert published[0].message == CatalogItem(
        video_id="1",
        creator_id="70",
        tags=("39",),
        audio_id="5",
        duration_ms=800,
        uploaded_ms=1_893_456_000_000,
        source="upstream",
    )
    assert published[1].message == CatalogItem(
        video_id="2", creator_id="71", tags=("1", "2"), audio_id="6", uploaded_ms=1_893_456_000_000, source="upstream"
    )
    assert published[3].message == UserHistory(user_id="1", watched=["9", "3"], liked=[], long_viewed=["3"], source="upstream")


def test_every_message_keeps_its_contract(write_folder: WriteFolder) -> None:
    log = read_folder(write_folder())
    for published in [*before_the_stream(log), *schedule(log, requests=True)]:
        data = msgspec.json.encode(published.message)
        assert msgspec.json.decode(data, type=type(published.message)) == published.message


def test_a_schedule_tells_its_length_and_can_be_read_twice(write_folder: WriteFolder) -> None:
    planned = schedule(read_folder(write_folder()), requests=True)
    assert len(planned) == len(list(planned)) == len(list(planned))
    assert planned.at_ms.tolist() == sorted(planned.at_ms.tolist())
