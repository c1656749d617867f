"""Learners: river estimators on flat arrays, and what makes them learn from a stream of examples."""
