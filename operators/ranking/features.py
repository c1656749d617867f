"""The ranker's features: the one table of their names, formulas and initial weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from operators.query import Query, Rows
from operators.ranking import formulas as f
from operators.ranking.view import Values, View
from operators.stages import Hydrator
from schemas.features import Counter
from schemas.learning import HEADS, Objective


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of what the ranker sees.

    Parameters
    ----------
    name
        Its name everywhere.
    formula
        What it is; part of the feature set's version, so a change of meaning is a change of this text.
    initial
        Its weight for the head `taken` before anything was learned.
    values
        Computes it for all candidates, shape (n,).
    """

    name: str
    formula: str
    initial: float
    values: Callable[[View], Values]


FEATURES: tuple[Feature, ...] = (
    Feature("co_watched", "ln(sum_r 0.95^r (1 + share_r)/2 (1.5 if positive) w(watched_r, v) + 0.0005)", 3.5, f.co_watched),
    Feature("surface_impressions_24h", "ln(impressions on the surface, half-life 24 h, + 0.2)", 0.6, f.surface_impressions),
    Feature("impressions_1h", "ln(impressions, half-life 1 h, + 0.3)", 0.4, lambda v: np.log(f.impressions_1h(v) + 0.3)),
    Feature("long_view_rate_96h", "(long views + 1.6) / (impressions + 5), half-life 96 h", 1.4, f.long_view_rate),
    Feature("long_views_24h", "ln(long views, half-life 24 h, + 0.3)", 0.0, lambda v: np.log(f.long_views_24h(v) + 0.3)),
    Feature(
        "popularity", "ln(clicks/5 + long views + 2 (likes + comments + saves + follows - negatives) + 3 shares + 1)", 0.1, f.popularity
    ),
    Feature("watches", "ln(watches + 3)", 0.0, lambda v: np.log(v.total(Counter.WATCHES) + 3)),
    Feature("impressions_5m", "ln(impressions in 5 min + 1)", 0.0, lambda v: np.log1p(v.window(Counter.IMPRESSIONS, 5))),
    Feature("impressions_30m", "ln(impressions in 30 min + 1)", 0.0, lambda v: np.log1p(v.window(Counter.IMPRESSIONS, 30))),
    Feature("clicks_30m", "ln(clicks in 30 min + 1)", 0.0, lambda v: np.log1p(v.window(Counter.CLICKS, 30))),
    Feature("long_views_30m", "ln(long views in 30 min + 1)", 0.0, lambda v: np.log1p(v.window(Counter.LONG_VIEWS, 30))),
    Feature("skips_30m", "ln(skips in 30 min + 1)", 0.0, lambda v: np.log1p(v.window(Counter.SKIPS, 30))),
    Feature(
        "click_rate",
        "(clicks + 3) / (impressions + 10)",
        0.0,
        lambda v: v.rate(Counter.CLICKS, Counter.IMPRESSIONS, prior=0.3, strength=10),
    ),
    Feature(
        "like_rate",
        "(likes + 0.4) / (impressions + 20)",
        0.0,
        lambda v: v.rate(Counter.LIKES, Counter.IMPRESSIONS, prior=0.02, strength=20),
    ),
    Feature(
        "skip_rate",
        "(skips + 3) / (impressions + 10)",
        0.0,
        lambda v: v.rate(Counter.SKIPS, Counter.IMPRESSIONS, prior=0.3, strength=10),
    ),
    Feature(
        "finish_rate",
        "(finishes + 2) / (watches + 10)",
        0.0,
        lambda v: v.rate(Counter.FINISHES, Counter.WATCHES, prior=0.2, strength=10),
    ),
    Feature("completion", "(completion + 4) / (watches + 10)", 0.0, f.completion),
    Feature("taste", "cosine of the person's and the video's vector", 1.0, f.taste),
    Feature("tag_interest", "sum over the video's tags of tanh(interest)", 0.5, f.tag_interest),
    Feature("tag_long_view_rate", "mean over tags of (long views + 6) / (impressions + 20)", 0.0, f.tag_long_view_rate),
    Feature("creator_followed", "1 if the person follows the creator", 1.0, f.creator_followed),
    Feature("creator_taken", "ln(positives by the creator + 1)", 0.5, f.creator_taken),
    Feature(
        "creator_long_view_rate",
        "(long views + 6) / (impressions + 20) of the creator",
        0.0,
        lambda v: v.creator_rate(Counter.LONG_VIEWS, Counter.IMPRESSIONS, prior=0.3, strength=20),
    ),
    Feature("creator_passed", "ln(videos of the creator among the last 50 that were skipped or disliked + 1)", -0.5, f.creator_passed),
    Feature("category_taken", "ln(positives in the category, 0.95^place each, + 1)", 18.0, f.category_taken),
    Feature("category_watched", "ln(watches in the category, 0.95^place each, + 1)", 8.0, f.category_watched),
    Feature("category_passed", "ln(skipped or disliked in the category, 0.95^place each, + 1)", -18.0, f.category_passed),
    Feature("category_watched_30m", "share of the watches of 30 min in the category, 2 others added", 16.0, f.category_watched_30m),
    Feature("tag_taken_5m", "sum over tags of ln(person's positive interactions of 5 min + 1)", 0.2, f.tag_taken_5m),
    Feature("tag_taken_30m", "sum over tags of ln(person's positive interactions of 30 min + 1)", 0.2, f.tag_taken_30m),
    Feature("tag_passed_30m", "sum over tags of ln(person's skips and dislikes of 30 min + 1)", -0.2, f.tag_passed_30m),
    Feature("age", "ln(hours since upload + 1)", 0.0, lambda v: np.log1p(v.age_hours)),
    Feature("new", "1 if uploaded within 24 h", 0.3, lambda v: (v.age_hours < 24).astype(np.float64)),
    Feature("duration", "ln(seconds + 1), 30 s where unknown", 0.0, f.duration),
    Feature("duration_unlike", "|ln duration - mean ln duration of the last positives|", 0.0, f.duration_unlike),
    Feature("person_long_view_rate", "(long views + 6) / (impressions + 20) of the person", 0.0, f.person_long_view_rate),
    Feature("person_taken_30m", "(positive interactions + 1.5) / (impressions + 5) of the person in 30 min", 0.0, f.person_taken_30m),
    Feature("person_passed_30m", "(skips and dislikes + 1.5) / (impressions + 5) of the person in 30 min", 0.0, f.person_passed_30m),
    Feature("luck", "uniform by seed and video: orders what nothing else orders", 0.01, f.luck),
)

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
N_FEATURES = len(FEATURES)
FEATURE_SET = "v1-" + blake2b("\n".join(f"{one.name}={one.formula}" for one in FEATURES).encode(), digest_size=4).hexdigest()

TAKEN = "taken"
_POPULAR = {"popularity": 0.02, "luck": 0.01}
"""What a head goes by before it has learned anything, so that no objective orders by id."""

INITIAL: dict[str, NDArray[np.float32]] = {
    TAKEN: np.array([*(one.initial for one in FEATURES), 0.0], dtype=np.float32),
    **{
        head: np.array([*(_POPULAR.get(one.name, 0.0) for one in FEATURES), 0.0], dtype=np.float32)
        for head in HEADS
        if head not in {TAKEN, "negative"}
    },
}
"""Weights per head before anything was learned, shape (N_FEATURES + 1,), the bias last; heads that are not here start at 0."""

INITIAL_OBJECTIVE = Objective(
    version="initial",
    heads={
        TAKEN: 1.0,
        "click": 0.025,
        "long_view": 0.05,
        "like": 0.05,
        "share": 0.025,
        "follow": 0.025,
        "finish": 0.05,
        "negative": -0.2,
    },
)
"""What is maximised until an operator says otherwise: what is taken to, strong signs and a finish more, dislikes less."""


class FeatureTable(Hydrator):
    """Computes every feature of every candidate of a request; the hydrator in front of the online ranker."""

    name = "features"
    outputs = NAMES

    def hydrate(self, query: Query, rows: Rows) -> NDArray[np.float32]:
        """Return one row per feature and one column per candidate, shape (N_FEATURES, n)."""
        view = View(query, rows)
        values = np.empty((N_FEATURES, len(rows)), dtype=np.float32)
        for place, feature in enumerate(FEATURES):
            values[place] = feature.values(view)
        return values
