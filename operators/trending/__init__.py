"""Trending: the videos that are most taken to now, by scope."""
