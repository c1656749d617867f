"""The feed's stages: what runs, in which order of importance, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence

from operators import filters, ranking, reranking, retrieval
from operators.pipeline import Pipeline
from operators.ranking.features import INITIAL
from operators.reranking.page import NEAR_DUPLICATE
from operators.stages import SideEffect
from schemas.feed import Level

SAFETY = (
    filters.Moderated.name,
    filters.HiddenByPerson.name,
    filters.NotInCatalogue.name,
    filters.NotAvailable.name,
    filters.AboveAge.name,
)
"""Rules that never give way; where one cannot be checked, nothing passes."""

HISTORY = (filters.AlreadySeen.name, NEAR_DUPLICATE, filters.ServedThisSession.name, filters.ServedLastPage.name)
"""Rules about what was shown before, in the order in which they give way; the first two do so together."""

_PLACE = ((), (filters.OtherLanguage.name,), (filters.OtherRegion.name,), (filters.OtherLanguage.name, filters.OtherRegion.name))
RELAXATIONS = tuple((*HISTORY[:n], *place) for place in _PLACE for n in (0, 2, 3, 4))[1:]
"""What gives way together, the mildest first. History gives way before the language, the language before the region. Where one of these
two must, history is enforced again as far as it can be: of what comes instead, first comes what was not shown yet."""


def feed_pipeline(side_effects: Sequence[SideEffect] = ()) -> Pipeline:
    """Return the feed's stages: what runs, in which order of importance, and how much of each."""
    whole = retrieval.WholeCatalogue(most=1_200)
    return Pipeline(
        sources=(
            retrieval.WatchedTogether(most=700),
            retrieval.FollowedCreators(most=60),
            retrieval.LikedCategories(most=180),
            retrieval.NearTaste(most=120),
            retrieval.PopularOnSurface(most=400),
            retrieval.TrendingInRegion(most=60),
            retrieval.TrendingInCategories(most=60),
            retrieval.Trending(most=120),
            retrieval.FreshUploads(most=60),
            retrieval.Popular(most=250),
            retrieval.ExplorationPool(most=50),
            whole,
        ),
        repeated=retrieval.RepeatedPage(),
        explorer=retrieval.ExplorationPool.name,
        filters=(
            filters.NotInCatalogue(),
            filters.Moderated(),
            filters.HiddenByPerson(),
            filters.NotAvailable(),
            filters.AboveAge(),
            filters.OtherRegion(),
            filters.OtherLanguage(),
            filters.ServedThisSession(),
            filters.ServedLastPage(),
            filters.AlreadySeen(),
        ),
        hydrators=(ranking.FeatureTable(),),
        scorers=(ranking.OnlineRanker(initial=INITIAL, level=Level.FULL),),
        selector=reranking.SpacedPage(),
        last_resort=whole,
        safety=SAFETY,
        relaxations=RELAXATIONS,
        side_effects=side_effects,
    )
