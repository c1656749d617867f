"""Metrics that are computed as the stream goes on."""
