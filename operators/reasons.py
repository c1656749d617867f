"""Puts the reason for each video of a page into words."""

from __future__ import annotations

from collections.abc import Sequence

from operators.outcome import Outcome
from operators.query import Query
from operators.stages import Source

PLAIN = "Worth a try"
"""Where nothing in particular can be said."""


def reasons(query: Query, rows: Sequence[int], mains: Sequence[Source], outcome: Outcome) -> list[str]:
    """Return the reason for each video of a page: what its main source says, else PLAIN.

    Parameters
    ----------
    rows
        Row of each video.
    mains
        The main source of each video; one that raises has nothing to say.
    outcome
        Where what a source raised is noted.
    """
    said = [""] * len(rows)
    for source in dict.fromkeys(mains):
        places = [place for place, main in enumerate(mains) if main is source]
        for place, words in zip(places, _because(source, query, [rows[place] for place in places], outcome), strict=True):
            said[place] = words
    return [words or PLAIN for words in said]


def _because(source: Source, query: Query, rows: list[int], outcome: Outcome) -> list[str]:
    try:
        words = source.because(query, rows)
    except Exception as error:
        outcome.errors[f"words of {source.name}"] = f"{type(error).__name__}: {error}"
        words = []
    return words if len(words) == len(rows) else [""] * len(rows)
