from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
import numpy as np
import pytest

from operators.feed import Answer, FeedEngine
from operators.ranking.features import FEATURE_SET, N_FEATURES
from operators.tables.side import SideTables
from operators.tokens import verify
from schemas.codec import encode, pack
from schemas.feed import FeedRequest, Level
from schemas.learning import OnlineWeights
from tests.operators.feed_world import (
    NOW_MS,
    REQUEST,
    SECRET,
    Record,
    answer,
    feed,
    install_segment,
    item,
    page,
    read,
    record,
    rich_person,
    rich_world,
    shown,
    state,
    tables,
    taken,
    trending,
)


def plain(got: Answer) -> tuple[bytes, bytes]:
    """All bytes of an answer."""
    return encode(got.response), encode(got.served)


def mixed(records: Sequence[Record], seed: int) -> list[Record]:
    """The same records with the topics woven otherwise, each topic in its own order."""
    rng = np.random.default_rng(seed)
    queues: dict[str, list[Record]] = {}
    for one in records:
        queues.setdefault(one[0], []).append(one)
    order = rng.permutation([topic for topic, queue in queues.items() for _ in queue])
    heads = {topic: iter(queue) for topic, queue in queues.items()}
    return [next(heads[topic]) for topic in order]


def test_the_same_offsets_give_the_same_bytes_however_topics_were_woven_and_whatever_was_asked_before() -> None:
    records = rich_world(200)
    weights = OnlineWeights(
        model="online",
        version=3,
        feature_set=FEATURE_SET,
        updated_ms=NOW_MS,
        examples=9,
        heads={"taken": np.linspace(-1, 1, N_FEATURES + 1, dtype=np.float32).tobytes()},
    )
    records.append(record("models.online", "online", weights))
    known = read(rich_person(), seen=["v1", "v9"], pages=[page(["v2", "v60"], simhashes=[5, 6])])
    first = tables(records)
    install_segment(first, [f"v{i}" for i in range(150)], vectors_offset=150)
    expected = plain(answer(first, known))
    for seed in range(4):
        other = SideTables(feature_set=FEATURE_SET, n_features=N_FEATURES, objective=first.objective.initial)
        woven = mixed(records, seed)
        for cut in range(0, len(woven), 150):
            feed(other, woven[cut : cut + 150])
            answer(other, read(state(recent=taken([f"v{cut % 90}"]))), request_id=f"before-{cut}")
        install_segment(other, [f"v{i}" for i in range(150)], vectors_offset=150)
        assert other.offsets == first.offsets
        assert other.videos.ids != first.videos.ids
        got = answer(other, known)
        expected_served = msgspec.json.decode(expected[1]) | {"offsets": None}
        assert plain(got)[0] == expected[0]
        assert msgspec.json.decode(plain(got)[1]) | {"offsets": None} == expected_served


def test_what_was_skipped_is_named_and_gives_the_same_bytes_again() -> None:
    made = tables(rich_world(200))
    cut = answer(made, read(rich_person()), skip=("neighbours", "popular"))
    again = answer(made, read(rich_person()), skip=cut.served.skipped)
    assert cut.served.skipped == ["neighbours", "popular"]
    assert plain(cut) == plain(again)
    assert plain(cut) != plain(answer(made, read(rich_person())))


def test_latency_is_no_part_of_what_is_compared() -> None:
    got = answer(tables(rich_world(50)), read())
    response, served = got.timed({"total": 1.5})
    assert (response.latency_ms, served.latency_ms) == ({"total": 1.5}, {"total": 1.5})
    assert encode(msgspec.structs.replace(response, latency_ms={})) == encode(got.response)
    assert served.response_sha256 == got.served.response_sha256


def test_the_lineage_says_what_became_of_every_candidate() -> None:
    made = tables(rich_world(200))
    got = answer(made, read(rich_person(), seen=["v1"], pages=[page(["v2"])]))
    served = got.served
    ids = served.candidates.video_ids.split("\n")
    sources = np.frombuffer(served.candidates.sources, np.uint16)
    dropped = np.frombuffer(served.candidates.dropped, np.uint8)
    scores = np.frombuffer(served.candidates.scores, np.float32)
    assert len(ids) == len(set(ids)) == len(sources) == len(dropped) == len(scores) == 200
    assert (sources > 0).all()
    fate = dict(zip(ids, dropped.tolist(), strict=True))
    assert [served.reasons[fate[one] - 1] for one in ("v1", "v2", "v5", "v6")] == ["seen", "session", "hidden", "hidden"]
    assert not np.isnan(scores[dropped == 0]).any()
    kept = [one for one in ids if fate[one] == 0]
    assert served.ranked == sorted(kept, key=lambda one: -scores[ids.index(one)])[:20]
    assert [one.video_id for one in served.items] == shown(got)
    assert [served.ranked[one.rank] for one in served.items if one.rank < 20 and not one.explored] == [
        one.video_id for one in served.items if one.rank < 20 and not one.explored
    ]
    features = np.frombuffer(served.features, np.float32).reshape(N_FEATURES, len(served.items))
    assert np.isfinite(features).all()
    assert served.feature_set == FEATURE_SET
    assert set(served.offsets) == {f"{topic}/0" for topic in ("catalog.items", "catalog.vectors")} | {
        f"features.{name}/0" for name in ("items", "neighbours", "trending")
    }


def test_every_item_carries_a_token_of_its_place_and_propensity() -> None:
    got = answer(tables(rich_world(100)), read(rich_person()))
    for position, (one, lineage) in enumerate(zip(got.response.items, got.served.items, strict=True)):
        claims = verify(SECRET, one.tracking_token)
        assert (claims.request_id, claims.video_id, claims.position, claims.now_ms) == ("r1", one.video_id, position, NOW_MS)
        assert claims.propensity == pytest.approx(lineage.propensity)
        assert 0 < claims.propensity <= 1


def test_reasons_are_in_words() -> None:
    made = tables([*rich_world(120), item("watched", title="knots"), trending("region:DE", ["v4"])])
    got = answer(made, read(rich_person()))
    because = {one.source: one.recommendation_reason for one in got.response.items}
    assert because["neighbours"].startswith("Because you watched video ")
    assert all(because.values())


def test_a_new_person_and_an_empty_catalogue_are_answered() -> None:
    nothing = answer(tables([]), read())
    assert (nothing.response.items, nothing.response.degradation_level, nothing.page) == ([], Level.EMPTY_CATALOGUE, None)
    new = answer(tables([item(f"v{i}", category=f"k{i % 9}", creator_id=f"c{i}") for i in range(90)]), read())
    assert new.response.degradation_level is Level.FULL
    assert len(shown(new)) == 20
    other = answer(tables([item(f"v{i}", category=f"k{i % 9}", creator_id=f"c{i}") for i in range(90)]), read(), request_id="r2")
    assert shown(new) != shown(other)


def test_somebody_who_saw_everything_is_shown_old_videos_but_never_the_page_before() -> None:
    ids = [f"v{i}" for i in range(50)]
    made = tables([item(video_id) for video_id in ids])
    pages = [page(ids[:20], request_id="one"), page(ids[20:40], request_id="two"), page(ids[40:], request_id="three")]
    got = answer(made, read(seen=ids, pages=pages))
    assert got.response.degradation_level is Level.GLOBAL_POPULAR
    assert len(shown(got)) == 20
    assert not set(shown(got)) & set(ids[40:])


def test_pages_asked_one_after_the_other_never_repeat() -> None:
    made = tables(rich_world(300))
    pages: list[bytes] = []
    everything: list[str] = []
    for i in range(12):
        got = answer(made, read(rich_person(), pages=pages), request_id=f"r{i}")
        assert got.page is not None
        assert got.page.video_ids == shown(got)
        pages.append(pack(got.page))
        everything += shown(got)
    assert len(everything) == len(set(everything)) == 240


def test_nothing_is_remembered_of_a_shadow_request() -> None:
    got = answer(tables(rich_world(60)), read(), request=FeedRequest(user_id="u", shadow=True))
    assert got.page is None
    assert got.served.shadow
    assert len(shown(got)) == 20


def test_a_repeated_request_is_answered_alike_though_its_page_is_remembered() -> None:
    made = tables(rich_world(100))
    first = answer(made, read(rich_person()))
    assert first.page is not None
    again = answer(made, read(rich_person(), pages=[pack(first.page)]))
    assert encode(first.response) == encode(again.response)


def test_a_second_attempt_for_which_sources_came_late_is_made_again_by_a_replay() -> None:
    made = tables([item(f"v{i}") for i in range(1_500)])
    first = answer(made, read())
    assert first.page is not None
    known = read(pages=[pack(first.page)])
    clock = count().__next__
    late = FeedEngine(tables=made, secret=SECRET, seed=0, worker="test").answer(
        request=REQUEST,
        raw=encode(REQUEST),
        request_id="r1",
        read=known,
        now_ms=NOW_MS,
        sequence=1,
        clock=lambda: float(clock()),
    )
    assert (shown(late), late.page) == (shown(first), None)
    assert {one.source for one in late.response.items} == {"repeated"}
    assert plain(answer(made, known, skip=late.served.skipped)) == plain(late)


@pytest.mark.parametrize("seen_all", [False, True])
def test_a_second_attempt_gets_the_page_of_the_first_whatever_changed_in_between(*, seen_all: bool) -> None:
    request = FeedRequest(user_id="u")
    earlier = answer(tables(rich_world(12)), read(), request=request, request_id="before").page
    assert earlier is not None
    before = [pack(earlier)] if seen_all else []
    first = answer(tables(rich_world(12)), read(pages=before), request=request)
    assert first.page is not None
    assert first.response.exhausted == seen_all
    again = answer(tables(rich_world(100)), read(pages=[*before, pack(first.page)]), request=request)
    assert shown(again) == shown(first)
    assert (again.response.exhausted, again.response.relaxed) == (first.response.exhausted, first.response.relaxed)
    assert again.response.degradation_level == first.response.degradation_level
    assert again.page is None


def test_an_item_carries_what_a_screen_needs() -> None:
    whole = {
        "title": "how to tie knots",
        "creator_id": "c1",
        "duration_ms": 9_000,
        "tags": ("rope", "sea"),
        "category": "craft",
        "language": "en",
        "video_url": "https://video.test/a",
        "thumbnail_url": "https://video.test/a.jpg",
        "prefetch_url": "https://video.test/a.m4s",
        "fields": {"price": 3, "label": "new", "sold": False, "stars": 4.5},
    }
    (got,) = answer(tables([item("a", **whole)]), read()).response.items
    assert {name: getattr(got, name) for name in whole} == whole
    (bare,) = answer(tables([item("a")]), read()).response.items
    assert not {"duration_ms", "tags", "category", "language", "fields"} & msgspec.json.decode(encode(bare)).keys()


def test_a_list_with_ids_of_two_lines_is_refused_so_that_they_cannot_shift_the_candidates_of_the_lineage() -> None:
    made = tables([*(item(f"v{i}") for i in range(5)), trending("global", ["v1", "bad\nid", "v2", "\n"])])
    candidates = answer(made, read()).served.candidates
    ids = candidates.video_ids.split("\n")
    assert made.rejected == {"features.trending": 1}
    assert sorted(ids) == ["v0", "v1", "v2", "v3", "v4"]
    assert candidates.dropped == bytes(len(ids))


def test_the_longest_id_of_any_script_carries_a_token() -> None:
    name = "視" * 128
    (got,) = answer(tables([item(name)]), read()).response.items
    assert verify(SECRET, got.tracking_token).video_id == name


def test_the_assumed_age_is_part_of_the_lineage() -> None:
    made = tables([item("a"), item("b", age_rating=16)])
    young = FeedEngine(tables=made, secret=SECRET, seed=0, worker="test", default_age=12)
    got = young.answer(request=REQUEST, raw=b"", request_id="r1", read=read(), now_ms=NOW_MS, sequence=1)
    assert (shown(got), got.served.default_age) == (["a"], 12)


def test_a_like_changes_the_next_page() -> None:
    made = tables(rich_world(300))
    before = answer(made, read(state()), request_id="same")
    after = answer(made, read(state(positives=taken(["v7"] * 3), recent=taken(["v7"]))), request_id="same")
    assert shown(before) != shown(after)
