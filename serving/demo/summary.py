"""What a demo has measured, as people and programs read it."""

from __future__ import annotations

import msgspec

from serving.demo.story import ChangedFeed


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one demo; times in the unit of their name, None where nothing was measured."""

    data: str
    requests: int
    answered: int
    unanswered: int
    levels: dict[str, int]
    feeds_per_s: float
    feed_p50_ms: float | None
    feed_p99_ms: float | None
    events: int
    events_per_s: float
    event_to_feature_p50_ms: float | None
    event_to_feature_p99_ms: float | None
    event_to_feed_p50_ms: float | None
    event_to_feed_p99_ms: float | None
    probes: int
    probes_missed: int
    changed_feed: ChangedFeed | None
    dead_letters: dict[str, int]
    bad_records_sent: int
    seconds_to_first_feed: float | None
    memory_mb: dict[str, float]
    failures: list[str]


def judged(summary: DemoSummary) -> DemoSummary:
    """Return a summary whose `failures` also name what a demo must not end with."""
    failures = list(summary.failures)
    if summary.requests == 0:
        failures.append("no feed was asked for")
    if summary.unanswered or summary.answered != summary.requests:
        failures.append(f"{max(summary.unanswered, summary.requests - summary.answered)} requests went unanswered")
    if summary.changed_feed is None or not summary.changed_feed.changed:
        failures.append("no feed changed after likes")
    return msgspec.structs.replace(summary, failures=failures)
