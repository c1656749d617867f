"""What the demo shows while it runs, and its summary."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from serving.demo.summary import DemoSummary

_REASONS = {
    "malformed": "no JSON",
    "wrong_type": "JSON, but a field has another type than the contract says",
    "oversized": "larger than a record may be",
    "future_dated": "dated too far in the future of its arrival",
    "duplicate": "an event id that was counted already",
    "invalid_value": "a value that cannot be",
    "expired": "its deadline had passed",
    "internal": "our own fault",
}


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.1f}{unit}"


def live(summary: DemoSummary, seconds_left: float) -> RenderableType:
    """Lay out what is known so far."""
    table = Table.grid(padding=(0, 2))
    table.add_row("feeds", f"{summary.answered:,} of {summary.requests:,} answered", f"{_number(summary.feeds_per_s)}/s")
    table.add_row("feed latency", f"p50 {_number(summary.feed_p50_ms, ' ms')}", f"p99 {_number(summary.feed_p99_ms, ' ms')}")
    table.add_row("events", f"{summary.events:,}", f"{_number(summary.events_per_s)}/s")
    table.add_row("event → feature", "", f"p99 {_number(summary.event_to_feature_p99_ms, ' ms')}")
    table.add_row("event → changed feed", "", f"p99 {_number(summary.event_to_feed_p99_ms, ' ms')}")
    table.add_row("levels", escape(", ".join(f"{name} {n:,}" for name, n in summary.levels.items())) or "-", "")
    parts: list[RenderableType] = [Panel(table, title=f"penstock demo · {escape(summary.data)} · {seconds_left:.0f} s left")]
    if summary.changed_feed is not None:
        parts.append(changed(summary))
    return Group(*parts)


def changed(summary: DemoSummary) -> RenderableType:
    """Lay out one person's feed before and after the likes."""
    story = summary.changed_feed
    if story is None:
        return ""
    who, kind = escape(story.user_id), escape(repr(story.kind))
    table = Table(title=f"{who} liked {len(story.liked)} videos of kind {kind}: feed changed after {story.seconds:.2f} s")
    table.add_column(f"before ({story.before_of_kind} of {kind})")
    table.add_column("liked")
    table.add_column(f"after ({story.after_of_kind} of {kind})")
    liked = story.liked + [""] * max(len(story.before), len(story.after))
    for row in range(max(len(story.before), len(story.after))):
        before = escape(story.before[row]) if row < len(story.before) else ""
        after = escape(story.after[row]) if row < len(story.after) else ""
        table.add_row(before, escape(liked[row]), after if after in map(escape, story.before) else f"[bold green]{after}[/]")
    return table


def final(summary: DemoSummary) -> RenderableType:
    """Lay out the summary."""
    table = Table(title=f"penstock demo · {escape(summary.data)}", show_header=False)
    rows = (
        ("requests", f"{summary.requests:,} asked, {summary.answered:,} answered, {summary.unanswered:,} unanswered"),
        ("feed latency", f"p50 {_number(summary.feed_p50_ms, ' ms')}, p99 {_number(summary.feed_p99_ms, ' ms')}"),
        ("levels", ", ".join(f"{name} {n:,}" for name, n in summary.levels.items())),
        ("events", f"{summary.events:,}, {_number(summary.events_per_s)}/s"),
        (
            "event → feature",
            f"p50 {_number(summary.event_to_feature_p50_ms, ' ms')}, p99 {_number(summary.event_to_feature_p99_ms, ' ms')} "
            f"({summary.probes} probes, {summary.probes_missed} missed)",
        ),
        ("event → changed feed", f"p50 {_number(summary.event_to_feed_p50_ms, ' ms')}, p99 {_number(summary.event_to_feed_p99_ms, ' ms')}"),
        ("first feed after", _number(summary.seconds_to_first_feed, " s")),
        ("dead letters", "\n".join(f"{name} {n}: {_REASONS.get(name, '')}" for name, n in summary.dead_letters.items()) or "none"),
        (
            "memory",
            f"{sum(summary.memory_mb.values()):,.0f} MB: " + ", ".join(f"{name} {mb:.0f}" for name, mb in summary.memory_mb.items()),
        ),
    )
    for name, value in rows:
        table.add_row(name, escape(value))
    return Group(changed(summary), table)
