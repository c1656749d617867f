"""The readable hash of a person, for people and tools."""

from __future__ import annotations

from operators.profiles.row import UserRow
from schemas.features import Counter

_COUNTED = tuple((counter.name.lower(), counter) for counter in Counter if counter is not Counter.COMPLETION_PERMILLE)


def readable(row: UserRow) -> dict[str, str]:
    """Return the fields of `user:feat:{user_id}`.

    `tag_<tag>_weight` is the weight as of the tag's last event; counters that are 0 are left out.

    Examples
    --------
    >>> from operators.profiles.row import new_row
    >>> readable(new_row("u", 0))
    {'version': '0', 'last_active_timestamp': '0', 'average_completion_rate': '0', 'seen': '0'}
    """
    totals = row.totals
    watches = totals[Counter.WATCHES]
    fields = {
        "version": str(row.version),
        "last_active_timestamp": str(row.updated_ms),
        "average_completion_rate": f"{totals[Counter.COMPLETION_PERMILLE] / (1000 * watches):.4g}" if watches > 0 else "0",
        "seen": str(row.seen_count),
    }
    if row.profile is not None:
        told = {"birth_year": row.profile.birth_year, "region": row.profile.region, "language": row.profile.language}
        fields |= {name: str(value) for name, value in told.items() if value is not None}
    for name, counter in _COUNTED:
        if totals[counter]:
            fields[name] = str(totals[counter])
    for tag, one in row.tags.items():
        if one.weight:
            fields[f"tag_{tag}_weight"] = f"{one.weight:.4g}"
    return fields
