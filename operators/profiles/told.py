"""Turns a person's record on `users.records` into a profile."""

from __future__ import annotations

from datetime import UTC, datetime

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

    An age becomes the year of birth that it means as of `updated_ms`, else as of the broker's stamp; whose birthday is still to come that
    year is a year older than that says.

    Parameters
    ----------
    stamp_ms
        The broker's stamp of the record.

    Examples
    --------
    >>> told(UserRecord(user_id="u", age=30, region="DE"), 1_700_000_000_000).profile
    Profile(birth_year=1993, region='DE', language=None, device_type=None, created_ms=None, quiz=(), guest=False)
    """
    at_ms = stamp_ms if record.updated_ms is None else record.updated_ms
    birth_year = record.birth_year
    if birth_year is None and record.age is not None:
        birth_year = datetime.fromtimestamp(at_ms / 1000, UTC).year - record.age
    profile = Profile(
        birth_year=birth_year,
        region=record.region,
        language=record.language,
        device_type=record.device_type,
        created_ms=record.created_ms,
        quiz=record.quiz,
        guest=record.guest,
    )
    return ProfileTold(record.user_id, at_ms, profile)
