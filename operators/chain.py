"""The feed's stages: what runs, in which order of importance, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence

from operators.filters.blocked import HiddenByPerson, Moderated
from operators.filters.eligibility import AboveAge, OtherLanguage, OtherRegion
from operators.filters.listed import NotAvailable, NotInCatalogue
from operators.filters.seen import AlreadySeen
from operators.filters.session import ServedLastPage, ServedThisSession
from operators.pipeline import Pipeline
from operators.ranking.features import INITIAL, FeatureTable
from operators.ranking.linear import OnlineRanker
from operators.reranking.page import NEAR_DUPLICATE, SpacedPage
from operators.retrieval.categories import LikedCategories
from operators.retrieval.exploration import ExplorationPool
from operators.retrieval.followed import FollowedCreators
from operators.retrieval.fresh import FreshUploads
from operators.retrieval.neighbours import WatchedTogether
from operators.retrieval.popular import Popular
from operators.retrieval.surface import PopularOnSurface
from operators.retrieval.trending import Trending, TrendingInCategories, TrendingInRegion
from operators.retrieval.vectors import NearTaste
from operators.retrieval.whole import WholeCatalogue
from operators.stages import SideEffect

SAFETY = (Moderated.reason, HiddenByPerson.reason, NotInCatalogue.reason, NotAvailable.reason, AboveAge.reason)
"""Rules that never give way; where one cannot be checked, nothing passes."""

HISTORY = (AlreadySeen.reason, NEAR_DUPLICATE, ServedThisSession.reason, ServedLastPage.reason)
"""Rules about what was shown before, in the order in which they give way; the first two do so together."""

_PLACE = ((), (OtherLanguage.reason,), (OtherRegion.reason,), (OtherLanguage.reason, OtherRegion.reason))
RELAXATIONS = tuple((*HISTORY[:n], *place) for place in _PLACE for n in (0, 2, 3, 4))[1:]
"""What gives way together, the mildest first. History gives way before the language, the language before the region. Where one of these
two must, history is enforced again as far as it can be: of what comes instead, first comes what was not shown yet."""


def feed_pipeline(side_effects: Sequence[SideEffect] = ()) -> Pipeline:
    """Return the feed's stages: what runs, in which order of importance, and how much of each."""
    whole = WholeCatalogue(most=1_200)
    return Pipeline(
        sources=(
            WatchedTogether(most=700),
            FollowedCreators(most=60),
            LikedCategories(most=180),
            NearTaste(most=120),
            PopularOnSurface(most=400),
            TrendingInRegion(most=60),
            TrendingInCategories(most=60),
            Trending(most=120),
            FreshUploads(most=60),
            Popular(most=250),
            ExplorationPool(most=50),
            whole,
        ),
        explorer=ExplorationPool.name,
        filters=(
            NotInCatalogue(),
            Moderated(),
            HiddenByPerson(),
            NotAvailable(),
            AboveAge(),
            OtherRegion(),
            OtherLanguage(),
            ServedThisSession(),
            ServedLastPage(),
            AlreadySeen(),
        ),
        hydrator=FeatureTable(),
        scorer=OnlineRanker(initial=INITIAL),
        selector=SpacedPage(),
        last_resort=whole,
        safety=SAFETY,
        relaxations=RELAXATIONS,
        side_effects=side_effects,
    )
