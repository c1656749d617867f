"""The feed's stages: what runs, in which order of importance, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence

from operators.filters.blocked import HiddenByPerson, Moderated
from operators.filters.eligibility import NotEligible
from operators.filters.listed import NotInCatalogue
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedLastPage, ServedThisSession
from operators.pipeline import Pipeline, SideEffect
from operators.ranking.features import INITIAL, FeatureTable
from operators.ranking.linear import OnlineRanker
from operators.reranking.page import SpacedPage
from operators.retrieval.exploration import ExplorationPool
from operators.retrieval.followed import FollowedCreators
from operators.retrieval.fresh import FreshUploads
from operators.retrieval.neighbours import WatchedTogether
from operators.retrieval.popular import Popular
from operators.retrieval.surface import PopularOnSurface
from operators.retrieval.trending import Trending, TrendingInCategories, TrendingInRegion
from operators.retrieval.vectors import NearTaste
from operators.retrieval.whole import WholeCatalogue


def feed_pipeline(side_effects: Sequence[SideEffect] = ()) -> Pipeline:
    """Return the feed's stages: what runs, in which order of importance, and how much of each."""
    return Pipeline(
        sources=(
            WatchedTogether(most=700),
            FollowedCreators(most=60),
            NearTaste(most=120),
            PopularOnSurface(most=400),
            TrendingInRegion(most=60),
            TrendingInCategories(most=60),
            Trending(most=120),
            FreshUploads(most=60),
            Popular(most=250),
            ExplorationPool(most=50),
            WholeCatalogue(most=1_200),
        ),
        explorer=ExplorationPool.name,
        filters=(
            NotInCatalogue(),
            Moderated(),
            HiddenByPerson(),
            NotEligible(),
            ServedThisSession(),
            ServedLastPage(),
            AlreadySeen(),
        ),
        hydrator=FeatureTable(),
        scorer=OnlineRanker(initial=INITIAL),
        selector=SpacedPage(),
        side_effects=side_effects,
    )
