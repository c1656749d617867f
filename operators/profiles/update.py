"""Defines the update of a person that is written to the store."""

from __future__ import annotations

from typing import NamedTuple


class UserUpdate(NamedTuple):
    """A person's row as it stands now, and the seen bits that came since the last one.

    Parameters
    ----------
    user_id
        Whose it is.
    version
        Grows with each write of the person.
    state
        msgpack UserState.
    seen
        Per generation, bits as big-endian 16-bit numbers (operators.profiles.seen.bits_of), one after the other.
    readable
        Fields of the hash for people.
    """

    user_id: str
    version: int
    state: bytes
    seen: dict[int, bytes]
    readable: dict[str, str]
