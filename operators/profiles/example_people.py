"""Examples of people, for the contract checks of UserProfiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from operators.base import Example
from operators.examples import T0_MS, event, histories, traffic
from operators.profiles.told import ProfileTold
from operators.profiles.update import UserUpdate
from schemas.features import Profile


def last_rows(updates: list[UserUpdate]) -> dict[str, tuple[Any, ...]]:
    """Return each person's last row, and all bits that were ever set."""
    rows: dict[str, tuple[Any, ...]] = {}
    for one in updates:
        seen: dict[int, set[bytes]] = rows[one.user_id][3] if one.user_id in rows else {}
        for generation, bits in one.seen.items():
            seen.setdefault(generation, set()).update(bits[i : i + 2] for i in range(0, len(bits), 2))
        rows[one.user_id] = (one.version, one.state, one.readable, seen)
    return rows


def profiles(users: int) -> list[ProfileTold]:
    """Return profiles of people: told, told anew, the last one deleted."""
    first = [ProfileTold(f"u{n}", T0_MS, Profile(birth_year=1990 + n, region="DE", quiz=(f"t{n}", "t5"))) for n in range(users)]
    anew = [ProfileTold(f"u{n}", T0_MS + 1, Profile(birth_year=1990 + n, quiz=("t5", "t6"))) for n in range(users - 1)]
    return [*first, *anew, ProfileTold(f"u{users - 1}", T0_MS + 2)]


def user_examples(kind: type) -> Iterator[Example[Any, Any]]:
    """Yield people of a few streams, and more people than may be held."""
    stream = [
        *histories(1),
        *traffic(1, 90),
        *profiles(4),
        *traffic(1, 60),
        *histories(2, users=2),
        *traffic(2, 60, users=8, late_share=0.5),
    ]
    yield Example(make=kind, events=stream, folded=last_rows)
    yield Example(
        make=lambda: kind(max_users=6, max_unpacked=2, max_tags=3, max_taken=4, max_listed=2),
        events=traffic(3, 200, users=20, late_share=0.3),
        folded=last_rows,
        endless=lambda n: event(n, user_id=f"u{n:09d}", video_id="v"),
        bound=6,
    )
