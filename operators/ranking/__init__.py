"""Scorers: how good each candidate is, and the features that say so."""

from operators.ranking.features import FeatureTable
from operators.ranking.linear import OnlineRanker

__all__ = ["FeatureTable", "OnlineRanker"]
