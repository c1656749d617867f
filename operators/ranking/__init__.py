"""Scorers: how good each candidate is, and the features that say so."""
