"""Events for examples and tests: a small world in which people watch, like, skip, come late and come again; the same for the same seed."""

from __future__ import annotations

from random import Random

from schemas.telemetry import Context, Event, InteractionType, Origin, UserHistory

T0_MS = 1_651_017_600_000
SURFACES = ("1", "0", "4", "2", "6", "7", "5", "3", "9", None)


def event(n: int, kind: InteractionType = InteractionType.IMPRESSION, **changed: object) -> Event:
    """Return the n-th event of a stream; fields can be given.

    >>> event(3, video_id="v").video_id
    'v'
    """
    fields: dict[str, object] = {
        "event_id": f"e{n}",
        "user_id": "u",
        "video_id": f"v{n}",
        "interaction_type": kind,
        "timestamp_ms": T0_MS + 1000 * n,
        "received_ms": T0_MS + 1000 * n,
        "origin": Origin(0, n, 0),
    }
    return Event(**(fields | changed))  # type: ignore[arg-type]


def traffic(seed: int, n: int, *, users: int = 5, videos: int = 12, late_share: float = 0.1) -> list[Event]:
    """Return n events: views with what came of them, some of them minutes to hours late.

    >>> len(traffic(1, 100)), traffic(1, 100) == traffic(1, 100)
    (100, True)
    """
    random = Random(seed)
    now_ms = T0_MS
    events: list[Event] = []
    kinds = list(InteractionType)
    while len(events) < n:
        now_ms += random.randrange(60_000)
        video = random.randrange(videos)
        at_ms = now_ms - (random.randrange(3 * 3_600_000) if random.random() < late_share else 0)
        known = video % 4 != 3
        shared = {
            "user_id": f"u{random.randrange(users)}",
            "video_id": f"v{video}",
            "creator_id": f"c{video % 3}" if known else None,
            "tags": (f"t{video % 5}", f"t{video % 2 + 5}") if known else (),
            "duration_ms": 1000 * (video + 5) if known else None,
            "context": Context(surface=random.choice(SURFACES)),
        }
        view = [InteractionType.IMPRESSION, *random.sample(kinds, random.randrange(4))]
        for kind in view[: n - len(events)]:
            at_ms += random.randrange(5_000)
            value = random.uniform(0, 20) if kind is InteractionType.WATCH_TIME else None
            events.append(event(len(events), kind, timestamp_ms=at_ms, received_ms=now_ms, value=value, **shared))
    return events


def histories(seed: int, users: int = 5, videos: int = 12) -> list[UserHistory]:
    """Return the history of each person before the stream.

    >>> histories(1)[0].user_id
    'u0'
    """
    random = Random(seed)

    def some() -> list[str]:
        return [f"v{random.randrange(videos)}" for _ in range(random.randrange(8))]

    return [UserHistory(user_id=f"u{i}", watched=some(), liked=some(), long_viewed=some()) for i in range(users)]
