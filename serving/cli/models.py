"""`penstock models`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from schemas.learning import DriftAlarm, LearningMetrics
from serving.cli.output import JsonOption, console, print_json
from serving.connect import connected_settings
from serving.topic_reader import decoded_all, read_topic

M = TypeVar("M", LearningMetrics, DriftAlarm)

app = typer.Typer(add_completion=False)

_LAST = 1_000
"""Records of each topic that are looked at: a metric of each head comes every 5 s, so this is some minutes of them."""


@app.command(epilog="Example: penstock models --json")
def models(as_json: JsonOption = False) -> None:
    """Show how well each head is predicted before it learns, the challenger beside the champion, and when losses changed.

    AUC and log loss are progressive: over the last 5,000 predictions, each made before its outcome was learned. The champion's figures in a
    challenger's row are of the same predictions. With --json: metrics[] and drift[], as on `learning.metrics` and `learning.drift`.
    """
    settings = connected_settings()
    metrics = newest(decoded_all(LearningMetrics, read_topic(settings, "learning.metrics", last=_LAST)))
    drift = list(decoded_all(DriftAlarm, read_topic(settings, "learning.drift", last=_LAST)))
    drift = list({(one.model, one.head, one.examples): one for one in drift}.values())
    if as_json:
        print_json({"metrics": metrics, "drift": drift})
        return
    console.print(table(metrics))
    for line in [*switched_off(metrics), *(said(one) for one in newest(drift))]:
        console.print(escape(line))


def newest(messages: Iterable[M]) -> list[M]:
    """Return the newest message of each head of each model, the champion first."""
    found = {(one.model, one.head): one for one in messages}
    return sorted(found.values(), key=lambda one: one.model == "challenger")


def table(metrics: Iterable[LearningMetrics]) -> Table:
    """Return the metrics as a table."""
    drawn = Table()
    for heading in ("model", "head", "predictions", "AUC", "log loss", "calibration", "of the same, champion's AUC", "log loss", "sampled"):
        drawn.add_column(heading, justify="left" if heading in {"model", "head"} else "right")
    for one in metrics:
        figures = (one.auc, one.log_loss if one.window else None, one.calibration if one.positives else None)
        beside = (one.champion_auc, one.champion_log_loss)
        cells = ["-" if figure is None else f"{figure:.4f}" for figure in (*figures, *beside)]
        name = one.model if one.estimator is None else f"{one.model} {one.estimator}"
        drawn.add_row(escape(name), escape(one.head), f"{one.examples:,}", *cells, "-" if one.sampled is None else f"{one.sampled:.0%}")
    return drawn


def switched_off(metrics: Iterable[LearningMetrics]) -> list[str]:
    """Say which estimators learn no more, and why."""
    return sorted({f"{one.estimator or one.model} is switched off: {one.off}" for one in metrics if one.off})


def said(alarm: DriftAlarm) -> str:
    """Say what changed."""
    how = "rose" if alarm.after > alarm.before else "fell"
    when = f"{datetime.fromtimestamp(alarm.at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}Z"
    return f"loss of head {alarm.head} {how} at {when}: {alarm.before:.4f} before, {alarm.after:.4f} after ({alarm.detector})"
