"""Warns of data that is missing, or learning that went wrong, although every part runs: by the metrics of ingest and learning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

LEAST_EVENTS = 100
"""Fewer events say nothing yet; its counters begin at 0 whenever ingest starts."""
STRANGERS = 0.01
"""Up to this share of the events may be about videos that have just been deleted."""
SHORT_HORIZON_S = 24 * 3_600
_INGEST = "penstock_ingest_"
_SIGNALS = "penstock_ingest_signals_total"
_CATALOGUE = "penstock_ingest_catalogue"
_HORIZON = "penstock_ingest_id_horizon_seconds"
_ROSE = "penstock_learning_loss_rose_seconds"
_CHALLENGER_OFF = "penstock_learning_challenger_off"
_SAMPLE = re.compile(r'^(?P<name>[a-zA-Z0-9_:]+)(?:\{(?P<label>[a-z_]+)="(?P<value>[^"]*)"\})? (?P<number>\S+)')

Samples = Mapping[tuple[str, str], float]


def samples(exposition: str) -> dict[tuple[str, str], float]:
    r"""Return the samples of a Prometheus exposition that have one label or none, by name and the label's value.

    Examples
    --------
    >>> samples('# HELP a b\na_total{signal="events"} 3.0\nb 4.0\n')
    {('a_total', 'events'): 3.0, ('b', ''): 4.0}
    """
    found = (_SAMPLE.match(line) for line in exposition.splitlines())
    return {(match["name"], match["value"] or ""): float(match["number"]) for match in found if match is not None}


def silences(found: Samples) -> list[str]:
    """Return, for people, what is missing in the events and the catalogue and what that makes impossible, and what learning has to say."""
    said = [*_about_videos(found), *_about_learning(found)]
    events = found.get((_SIGNALS, "events"), 0.0)
    if events >= LEAST_EVENTS:
        said += [f"none of {events:,.0f} events {text}" for signal, text in _EVENTS if found.get((_SIGNALS, signal)) == 0]
        strangers = events - found.get((_SIGNALS, "listed_videos"), events)
        if strangers > STRANGERS * events:
            said.append(f"{strangers:,.0f} of {events:,.0f} events name a video_id that the catalogue does not have")
    elif any(name.startswith(_INGEST) for name, _ in found):
        said.append(f"{f'only {events:.0f}' if events else 'no'} events since ingest started: what they lack is not known")
    horizon_s = found.get((_HORIZON, ""))
    if horizon_s is not None and 0 < horizon_s < SHORT_HORIZON_S:
        said.append(f"event ids are remembered for {horizon_s / 3_600:.1f} h only: a repeat that comes later is counted twice")
    return said


_EVENTS = (
    ("tracking_tokens", "carries a tracking_token: nothing trains the ranker"),
    ("impressions", "is an impression: what was shown is not known to have been seen"),
    ("regions", "carries context.region: no region has trending videos"),
)


def _about_videos(found: Samples) -> list[str]:
    videos = found.get((_CATALOGUE, "videos"))
    if videos == 0:
        return ["no video is in the catalogue: no feed has items"]
    if videos is not None and found.get((_CATALOGUE, "with_category")) == 0:
        return [f"none of {videos:,.0f} videos has a category: trending by category stays empty"]
    return []


def _about_learning(found: Samples) -> list[str]:
    rose = [(head, datetime.fromtimestamp(at_s, UTC)) for (name, head), at_s in found.items() if name == _ROSE and at_s > 0]
    said = [f"loss of head {head} rose at {at:%Y-%m-%d %H:%M:%S}Z and has not fallen since: see `penstock models`" for head, at in rose]
    return said + [f"the challenger is switched off: {reason}" for (name, reason) in found if name == _CHALLENGER_OFF]
