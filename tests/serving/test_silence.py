"""What is told of data that stays silent: from the text that ingest's metrics are."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from serving.silence import samples, silences

FINE = {"events": 1_000, "impressions": 400, "tracking_tokens": 900, "regions": 1_000, "listed_videos": 1_000}


def exposition(signals: dict[str, int], catalogue: dict[str, int] | None = None, horizon_s: float | None = None) -> str:
    """What a process with these metrics serves."""
    registry = CollectorRegistry()
    counter = Counter("penstock_ingest_signals", "x", ["signal"], registry=registry)
    for name, value in signals.items():
        counter.labels(name).inc(value)
    gauge = Gauge("penstock_ingest_catalogue", "x", ["what"], registry=registry)
    for name, value in (catalogue or {}).items():
        gauge.labels(name).set(value)
    if horizon_s is not None:
        Gauge("penstock_ingest_id_horizon_seconds", "x", registry=registry).set(horizon_s)
    return generate_latest(registry).decode()


def said(*args: object, **named: object) -> list[str]:
    return silences(samples(exposition(*args, **named)))  # type: ignore[arg-type]


def test_a_system_that_gets_everything_and_a_part_that_is_not_ingest_are_quiet() -> None:
    assert said(FINE, {"videos": 10, "with_category": 10}, 7 * 86_400.0) == []
    assert silences(samples("penstock_ready 1.0\n")) == []
    assert silences({}) == []


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("impressions", "none of 1,000 events is an impression"),
        ("tracking_tokens", "none of 1,000 events carries a tracking_token"),
        ("regions", "none of 1,000 events carries context.region"),
    ],
)
def test_what_no_event_has_is_named(signal: str, words: str) -> None:
    (told,) = said(FINE | {signal: 0})
    assert told.startswith(words)
    assert said(FINE | {signal: 1}) == []


def test_events_about_videos_that_nobody_listed_are_counted_beyond_a_few() -> None:
    assert said(FINE | {"listed_videos": 995}) == []
    (told,) = said(FINE | {"listed_videos": 40})
    assert told == "960 of 1,000 events name a video_id that the catalogue does not have"


def test_a_few_events_say_nothing_yet_and_that_is_told() -> None:
    few = {"events": 99, "impressions": 0, "tracking_tokens": 0, "regions": 0, "listed_videos": 0}
    assert said(few) == ["only 99 events since ingest started: what they lack is not known"]
    assert said(few | {"events": 100})[0].startswith("none of 100 events")


def test_counters_that_begin_again_with_a_restart_are_not_taken_for_health() -> None:
    # a process that has just started has told of no event, not even of none
    unknown = "no events since ingest started: what they lack is not known"
    assert said({}, {"videos": 12, "with_category": 12}, 0.0) == [unknown]
    assert said({"events": 0}, {"videos": 12, "with_category": 12}, 0.0) == [unknown]


def test_a_catalogue_without_categories_and_a_short_memory_are_named() -> None:
    (about_videos, about_ids) = said(FINE, {"videos": 12, "with_category": 0}, 2 * 3_600.0)
    assert about_videos.startswith("none of 12 videos has a category")
    assert about_ids.startswith("event ids are remembered for 2.0 h only")
    assert said(FINE, {"videos": 0, "with_category": 0}, 0.0) == ["no video is in the catalogue: no feed has items"]


def learning(rose: dict[str, float], off: str | None = None) -> list[str]:
    registry = CollectorRegistry()
    gauge = Gauge("penstock_learning_loss_rose_seconds", "x", ["head"], registry=registry)
    for head, at_s in rose.items():
        gauge.labels(head).set(at_s)
    if off is not None:
        Gauge("penstock_learning_challenger_off", "x", ["reason"], registry=registry).labels(off).set(1)
    return silences(samples(generate_latest(registry).decode()))


def test_a_loss_that_rose_and_a_challenger_that_was_switched_off_are_told() -> None:
    assert learning({"like": 0, "click": 0}) == []
    assert learning({"like": 1_700_000_000, "click": 0}, off="expected a probability, got nan") == [
        "loss of head like rose at 2023-11-14 22:13:20Z and has not fallen since: see `penstock models`",
        "the challenger is switched off: expected a probability, got nan",
    ]
