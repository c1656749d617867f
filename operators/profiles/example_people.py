"""Examples of people, for the contract checks of UserProfiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from operators.base import Example
from operators.examples import event, histories, traffic
from operators.profiles.update import UserUpdate


def last_rows(updates: list[UserUpdate]) -> dict[str, tuple[Any, ...]]:
    """Return each person's last row, and all bits that were ever set."""
    rows: dict[str, tuple[Any, ...]] = {}
    for one in updates:
        seen: dict[int, set[bytes]] = rows[one.user_id][3] if one.user_id in rows else {}
        for generation, bits in one.seen.items():
            seen.setdefault(generation, set()).update(bits[i : i + 2] for i in range(0, len(bits), 2))
        rows[one.user_id] = (one.version, one.state, one.readable, seen)
    return rows


def user_examples(kind: type) -> Iterator[Example[Any, Any]]:
    """Yield people of a few streams, and more people than may be held."""
    stream = [*histories(1), *traffic(1, 150), *histories(2, users=2), *traffic(2, 60, users=8, late_share=0.5)]
    yield Example(make=kind, events=stream, folded=last_rows)
    yield Example(
        make=lambda: kind(max_users=6, max_unpacked=2, max_tags=3, max_taken=4, max_listed=2),
        events=traffic(3, 200, users=20, late_share=0.3),
        folded=last_rows,
        endless=lambda n: event(n, user_id=f"u{n:09d}", video_id="v"),
        bound=6,
    )
