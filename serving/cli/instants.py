"""Instants on the command line."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from schemas.topics import duration_ms
from serving.cli.output import usage


def instant_ms(text: str, option: str = "--since") -> int:
    """Return the instant that an option names, or an age before now; without a zone it is UTC."""
    try:
        return time.time_ns() // 1_000_000 - duration_ms(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        usage(expected="an instant such as 2024-05-01T10:00Z or an age such as 2h", got=text, where=option, do="correct it")
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
