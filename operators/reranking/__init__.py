"""Selectors: how a page is made of a ranked list."""
