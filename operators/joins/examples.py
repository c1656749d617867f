"""Closed views made into labelled examples."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from operators.joins.outcomes import View
from operators.joins.pages import HeldPage, PageBulk
from schemas.learning import LabelledExample


def example_of(view: View, page: HeldPage, bulk: PageBulk) -> LabelledExample:
    """Return the example of a view: the features as served, and 0 or 1 for each head."""
    return LabelledExample(
        example_id=f"{view.request_id}/{view.video_id}",
        request_id=view.request_id,
        user_id=view.user_id,
        video_id=view.video_id,
        position=view.position,
        served_ms=page.now_ms,
        outcome_ms=view.last_ms,
        labels=view.labels(),
        watch_ms=view.watch_ms,
        propensity=bulk.propensities[view.position],
        model_versions=bulk.model_versions,
        feature_set=bulk.feature_set,
        features=bulk.row(view.position),
        joined_by="token" if view.by_token else "video",
        surface=page.surface,
    )


def passed_over(example: LabelledExample, page: HeldPage, bulk: PageBulk, *, among: list[int], limit: int) -> list[LabelledExample]:
    """Return examples that say "not taken" of other items of the answer in which one was taken.

    Parameters
    ----------
    example
        What was taken.
    page, bulk
        The answer.
    among
        Positions that count as passed over.
    limit
        Most examples to make; where more qualify they are drawn without replacement, seeded by request id and the video taken.

    Returns
    -------
    list of LabelledExample
        In order of position; their only label is `taken`.
    """
    video_ids = page.video_ids()
    if len(among) > limit:
        seed = int.from_bytes(blake2b(example.example_id.encode(), digest_size=8).digest(), "big")
        drawn = np.random.default_rng(seed).choice(len(among), size=limit, replace=False)
        among = [among[place] for place in sorted(drawn.tolist())]
    return [
        LabelledExample(
            example_id=f"{example.example_id}/not/{video_ids[position]}",
            request_id=example.request_id,
            user_id=example.user_id,
            video_id=video_ids[position],
            position=position,
            served_ms=example.served_ms,
            outcome_ms=example.outcome_ms,
            labels={"taken": 0},
            propensity=bulk.propensities[position],
            model_versions=example.model_versions,
            feature_set=example.feature_set,
            features=bulk.row(position),
            joined_by=example.joined_by,
            surface=example.surface,
        )
        for position in among
    ]
