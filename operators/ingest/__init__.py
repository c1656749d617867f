"""Ingest: from raw bytes to clean events, each counted once."""
