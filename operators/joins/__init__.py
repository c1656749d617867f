"""Joins: what was served, with what came of it."""
