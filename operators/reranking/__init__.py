"""Selectors: how a page is made of a ranked list."""

from operators.reranking.page import SpacedPage

__all__ = ["SpacedPage"]
