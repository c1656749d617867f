"""The pages that the step of the feed remembers: of one person, of other workers, while the store is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.cursor import cursor_after
from schemas.feed import Level
from tests.dataflows.answering_step import Step, count, made_step, request, responses, shown
from tests.operators.feed_world import NOW_MS, SECRET, page


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """The step with a catalogue of 200."""
    return made_step(tmp_path)


def test_requests_of_one_person_in_one_batch_see_each_others_pages(step: Step) -> None:
    out = step.ask(*(request() for _ in range(5)), request(user_id="other"))
    assert len(shown(out)) == 60
    assert len(set(shown(out)[:50])) == 50
    assert [len(step.shelf.pages[user]) for user in ("u", "other")] == [5, 1]


def test_a_page_that_another_worker_appended_in_between_is_seen(step: Step) -> None:
    first = shown(step.ask(request(request_id="r1", shadow=True)))
    other = page(first, request_id="elsewhere", at_ms=NOW_MS)

    def meddle() -> None:
        step.shelf.pages["u"] = [other]
        step.shelf.meddle = lambda: None

    step.shelf.meddle = meddle
    assert not set(shown(step.ask(request(request_id="r1"), request(request_id="r2")))) & set(first)
    assert len(step.shelf.pages["u"]) == 3
    assert count(step, "answered_again") == 2


def test_while_the_store_is_away_this_worker_repeats_nothing(step: Step) -> None:
    step.shelf.away = True
    away = shown(step.ask(request(request_id="r1"))) + shown(step.ask(request(request_id="r2"), request(request_id="r3")))
    step.shelf.away, step.shelf.away_at_append = False, True
    away += shown(step.ask(request(request_id="r4")))
    step.shelf.away_at_append = False
    out = step.ask(request(request_id="r5"))
    assert len(set(away + shown(out))) == 50
    assert responses(out)[0].degradation_level is Level.FULL
    assert count(step, "without_store") == 4


def test_shadow_requests_leave_nothing_behind(step: Step) -> None:
    assert len(shown(step.ask(request(shadow=True)))) == 10
    assert step.shelf.pages == {}


def test_pages_that_wait_for_the_store_are_bounded(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflows.answering.SESSION_PAGES_KEPT", 12)
    step.shelf.away = True
    for n in range(17):
        step.ask(request(request_id=f"r{n}", limit=1))
    assert [len(pages) for pages in step.answering._unsaved.values()] == [12]


def test_an_answer_is_counted_once_however_often_rules_gave_way_or_the_page_was_lost(step: Step) -> None:
    step.side([("catalog.items", f"v{i}", None) for i in range(3, 200)])
    step.shelf.pages["u"] = [page(["v0", "v1", "v2"], request_id="r0", at_ms=NOW_MS - 1)]

    def meddle() -> None:
        if len(step.shelf.pages["u"]) < 3:
            step.shelf.pages["u"].append(page(["v1"], request_id=f"elsewhere {len(step.shelf.pages['u'])}", at_ms=NOW_MS))

    step.shelf.meddle = meddle
    (response,) = responses(step.ask(request(request_id="r1")))
    assert (len(response.items), response.exhausted) == (2, True)
    assert count(step, "answered_again") == 2
    (candidates,) = (one for one in step.part.registry.collect() if one.name == "penstock_feed_candidates")
    assert sum(one.value for one in candidates.samples if one.name.endswith("_total")) == 3


def test_the_last_try_that_is_lost_is_no_answer_again_and_its_page_is_kept_here(step: Step) -> None:
    def meddle() -> None:
        step.shelf.pages.setdefault("u", []).append(page([], request_id=f"elsewhere {len(step.shelf.pages['u'])}", at_ms=NOW_MS))

    step.shelf.pages["u"] = []
    step.shelf.meddle = meddle
    first = shown(step.ask(request(request_id="r1")))
    assert count(step, "answered_again") == 3
    step.shelf.meddle = lambda: None
    assert not set(shown(step.ask(request(request_id="r2")))) & set(first)


def test_the_time_in_the_store_is_that_of_every_try(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(1_000))
    monkeypatch.setattr("dataflows.answering.time.perf_counter", lambda: next(clock))
    (once,) = responses(step.ask(request(request_id="r1", user_id="other")))

    def meddle() -> None:
        step.shelf.pages["u"] = [page([], request_id="elsewhere", at_ms=NOW_MS)]
        step.shelf.meddle = lambda: None

    step.shelf.meddle = meddle
    (twice,) = responses(step.ask(request(request_id="r2")))
    assert count(step, "answered_again") == 1
    assert twice.latency_ms["state"] == 2 * once.latency_ms["state"]


def test_asking_with_a_cursor_again_gives_the_same_page_and_appends_nothing(step: Step) -> None:
    (first,) = responses(step.ask(request(request_id="r1")))
    second = shown(step.ask(request(request_id="r2", cursor=first.next_cursor)))
    for name in ("r3", "r2", "r4"):
        assert shown(step.ask(request(request_id=name, cursor=first.next_cursor))) == second
    assert len(step.shelf.pages["u"]) == 2
    other = cursor_after(SECRET, "v", request_id="r0", at_ms=NOW_MS)
    out = step.ask(*(request(request_id=name, user_id="v", cursor=other) for name in ("r5", "r6")))
    assert len(set(shown(out))) == 10
