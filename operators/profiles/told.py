"""Turns a person's record on `users.records` into a profile."""

from __future__ import annotations

import msgspec

from schemas.features import Profile
from schemas.users import UserRecord


class ProfileTold(msgspec.Struct, array_like=True, frozen=True):
    """A person's profile as it was told last; None where the record was deleted. `at_ms`: as of when it holds."""

    user_id: str
    at_ms: int
    profile: Profile | None = None


def told(record: UserRecord, stamp_ms: int) -> ProfileTold:
    """Return the profile of a valid record.

    An age holds as of `updated_ms`, else as of the broker's stamp.

    Parameters
    ----------
    stamp_ms
        The broker's stamp of the record.

    Examples
    --------
    >>> profile = told(UserRecord(user_id="u", age=30, region="DE"), 1_700_000_000_000).profile
    >>> profile.age, profile.age_at_ms, profile.region
    (30, 1700000000000, 'DE')
    """
    at_ms = stamp_ms if record.updated_ms is None else record.updated_ms
    profile = Profile(
        birth_year=record.birth_year,
        region=record.region,
        language=record.language,
        device_type=record.device_type,
        created_ms=record.created_ms,
        quiz=record.quiz,
        guest=record.guest,
        age=record.age,
        age_at_ms=0 if record.age is None else at_ms,
    )
    return ProfileTold(record.user_id, at_ms, profile)
