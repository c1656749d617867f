"""Sources: where candidates come from."""

from operators.retrieval.categories import LikedCategories
from operators.retrieval.exploration import ExplorationPool
from operators.retrieval.followed import FollowedCreators
from operators.retrieval.fresh import FreshUploads
from operators.retrieval.neighbours import WatchedTogether
from operators.retrieval.popular import Popular
from operators.retrieval.repeated import RepeatedPage
from operators.retrieval.surface import PopularOnSurface
from operators.retrieval.trending import Trending, TrendingInCategories, TrendingInRegion
from operators.retrieval.vectors import NearTaste
from operators.retrieval.whole import WholeCatalogue

__all__ = [
    "ExplorationPool",
    "FollowedCreators",
    "FreshUploads",
    "LikedCategories",
    "NearTaste",
    "Popular",
    "PopularOnSurface",
    "RepeatedPage",
    "Trending",
    "TrendingInCategories",
    "TrendingInRegion",
    "WatchedTogether",
    "WholeCatalogue",
]
