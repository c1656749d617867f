"""What the learning part tells of drift and of the challenger in its metrics."""

from __future__ import annotations

from collections.abc import Callable

from dataflows.part import Part
from operators.learners.online_ranking import OnlineRanking

Show = Callable[[OnlineRanking], None]
"""Looks at the learner after each batch."""


def shown(part: Part) -> Show:
    """Return what tells of drift and of the challenger in the metrics of the part."""
    rose = part.gauge("learning_loss_rose_seconds", "When the loss of a head rose, 0 after it fell again; Unix time.", ["head"])
    is_off = part.gauge("learning_challenger_off", "1 when the challenger was switched off, with the reason.", ["reason"])

    def show(ranking: OnlineRanking) -> None:
        for head in ranking.validation.heads:
            rose.labels(head).set(ranking.validation.risen.get(head, 0) / 1000)
        if ranking.challenger is not None and ranking.challenger.off:
            # Readers of the metrics look for the next quote.
            is_off.labels(ranking.challenger.off.translate(str.maketrans('"\\', "'/"))).set(1)

    return show
