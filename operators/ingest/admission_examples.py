"""Arrivals for the contract checks of admission: repeats, unknown videos, changes of the catalogue."""

from __future__ import annotations

from random import Random

from operators.ingest.arrivals import Candidate, Parsed, RawRecord, Upsert
from schemas.catalog import CatalogItem
from schemas.telemetry import InteractionType, RawEvent

_KINDS = (InteractionType.IMPRESSION, InteractionType.WATCH_TIME, InteractionType.FINISH, InteractionType.LONG_VIEW)


def arrival(n: int) -> Parsed:
    """Return the n-th record of a stream in which everything is new."""
    record = RawRecord("telemetry.raw", n % 3, n, 1_000 * n, b"u", b"{}")
    event = RawEvent(event_id=f"e{n}", video_id=f"v{n % 5}", interaction_type=InteractionType.LIKE, timestamp=1_000 * n)
    return Parsed([Candidate(record, 0, f"u{n}", None, event, None)], [])


def arrivals(*, seed: int, n: int) -> list[Parsed | Upsert]:
    """Return n arrivals, a third of them repeats, and views of which the same is told in several ways."""
    random = Random(seed)
    found: list[Parsed | Upsert] = []
    for offset in range(n):
        if random.random() < 0.2:
            video_id = f"v{random.randrange(5)}"
            item = CatalogItem(video_id=video_id, creator_id=f"c{offset}", tags=("a", "b"), duration_ms=offset)
            found.append(Upsert(video_id, item if random.random() < 0.8 else None))
            continue
        record = RawRecord("telemetry.raw", random.randrange(2), offset, 500 * offset, b"u", b"{}")
        candidates = [
            Candidate(
                record,
                index,
                f"u{random.randrange(3)}",
                None,
                RawEvent(
                    event_id=f"e{random.randrange(2 * n)}",
                    video_id=f"v{random.randrange(7)}",
                    interaction_type=random.choice(_KINDS),
                    timestamp=60_000 * offset,
                    completed=random.choice([None, True]),
                ),
                random.choice([None, 20.0]),
            )
            for index in range(random.randrange(1, 4))
        ]
        found.append(Parsed(candidates, []))
    return found
