"""Cursors: where an answer ended, so that asking from there again gives the same page again."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from schemas.codec import DecodeError
from schemas.dlq import ReasonCode

MAC_BYTES = 14
PAGE_BYTES = 8
TIME_BYTES = 8

_PERSON = b"penstock.cursor1"
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


class Cursor(NamedTuple):
    """The answer that a cursor stands for: its "now" in epoch milliseconds, and a hash of its request id."""

    at_ms: int
    page: bytes


def cursor_after(secret: bytes, user_id: str, *, request_id: str, at_ms: int) -> str:
    """Return the cursor that asks for what comes after an answer, 40 characters.

    cursor = base64url(at_ms ‖ blake2b-64(request_id) ‖ blake2b-112(secret, at_ms ‖ … ‖ user_id))

    Parameters
    ----------
    secret
        The key, 16 to 64 bytes.
    user_id
        Who was answered; nobody else can ask with this cursor.
    request_id, at_ms
        The answer's request and "now".

    Examples
    --------
    >>> text = cursor_after(b"0123456789abcdef", "42", request_id="r1", at_ms=1_700_000_000_000)
    >>> len(text), read_cursor(b"0123456789abcdef", "42", text).at_ms
    (40, 1700000000000)
    """
    body = at_ms.to_bytes(TIME_BYTES, "big") + blake2b(request_id.encode(), digest_size=PAGE_BYTES).digest()
    return b2a_base64(body + _mac(secret, user_id, body), newline=False).translate(_TO_URL).decode("ascii")


def read_cursor(secret: bytes, user_id: str, text: str) -> Cursor:
    """Return what a cursor says that a person asks with.

    Raises
    ------
    DecodeError
        `invalid_value` at `$.cursor`, if it is not the `next_cursor` of an answer to this person.
    """
    try:
        data = a2b_base64(text.encode("ascii").translate(_FROM_URL), strict_mode=True)
    except (UnicodeEncodeError, Base64Error):
        data = b""
    body, mac = data[: TIME_BYTES + PAGE_BYTES], data[TIME_BYTES + PAGE_BYTES :]
    if not compare_digest(mac, _mac(secret, user_id, body)):
        raise DecodeError(ReasonCode.INVALID_VALUE, expected="the next_cursor of an answer to this person", got=repr(text), path="$.cursor")
    return Cursor(int.from_bytes(body[:TIME_BYTES], "big"), body[TIME_BYTES:])


def _mac(secret: bytes, user_id: str, body: bytes) -> bytes:
    return blake2b(body + user_id.encode(), digest_size=MAC_BYTES, key=secret, person=_PERSON).digest()
