"""Checks a message against its own contract before it is sent, as its readers will."""

from __future__ import annotations

from typing import TypeVar

from schemas.base import Message
from schemas.codec import DecodeError, decode, encode
from serving.errors import ContractError

M = TypeVar("M", bound=Message)


def checked(message: M, *, whose: str = "") -> M:
    """Return a message as its readers see it; `whose` names it in errors, beside its contract.

    Raises
    ------
    ContractError
        If it does not fit its contract, or holds a text that UTF-8 cannot.
    """
    where = f"{type(message).__name__}{whose and ' of '}{whose}"
    try:
        return decode(type(message), encode(message))
    except DecodeError as error:
        raise ContractError(expected=error.expected, got=error.got, where=f"{error.path} of {where}", do="see docs/contracts.md") from None
    except UnicodeEncodeError as error:
        got = f"half of a surrogate pair in {error.object[error.start : error.end]!a}"
        raise ContractError(expected="text that UTF-8 can hold", got=got, where=where) from None
