"""Puts the reason for each video of a page into words."""

from __future__ import annotations

from collections.abc import Sequence

from operators.outcome import Outcome
from operators.pipeline import REPEATED
from operators.query import Query
from operators.stages import Source

PLAIN = "Worth a try"
"""Where nothing in particular can be said."""
AGAIN = "Shown before"


def reasons(query: Query, rows: Sequence[int], names: Sequence[str], sources: Sequence[Source], outcome: Outcome) -> list[str]:
    """Return the reason for each video of a page: what its main source says, else PLAIN.

    Parameters
    ----------
    rows
        Row of each video.
    names
        Name of the main source of each video.
    sources
        The sources of the pipeline; a source that raises has nothing to say.
    outcome
        Where what a source raised is noted.
    """
    said = {REPEATED: [AGAIN] * len(rows)}
    for source in sources:
        places = [place for place, name in enumerate(names) if name == source.name]
        if places:
            said[source.name] = [""] * len(rows)
            for place, words in zip(places, _because(source, query, [rows[place] for place in places], outcome), strict=True):
                said[source.name][place] = words
    return [said[name][place] or PLAIN if name in said else PLAIN for place, name in enumerate(names)]


def _because(source: Source, query: Query, rows: list[int], outcome: Outcome) -> list[str]:
    try:
        return source.because(query, rows)
    except Exception as error:
        outcome.errors[f"words of {source.name}"] = f"{type(error).__name__}: {error}"
        return [""] * len(rows)
