"""Nearest videos by content vector: immutable segments, what is fresher than they are, and what is deleted."""
