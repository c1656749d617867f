"""Tracking tokens: each served item carries one, so that what came of it joins the exact request, place, policy and propensity."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal

import msgspec

from schemas.errors import ContractError
from schemas.telemetry import MAX_TOKEN

MAC_BYTES = 16
MIN_SECRET_BYTES = 16

_PERSON = b"penstock.token.1"
_TO_URL = bytes.maketrans(b"+/", b"-_")
# The plain alphabet's own two characters become a sign that no alphabet has, so that a token has one spelling only.
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")


class TokenClaims(msgspec.Struct, frozen=True, array_like=True):
    """What a token says of one served item.

    Parameters
    ----------
    request_id
        The request that was answered.
    video_id
        The item.
    position
        Its place on the page, 0 for the top.
    now_ms
        The "now" of the answer, epoch milliseconds.
    propensity
        Probability that the policy puts this item at this place, in (0, 1].
    policy
        Name of the policy that chose the place.
    model_version
        Version of the model that scored it.
    """

    request_id: str
    video_id: str
    position: int
    now_ms: int
    propensity: float
    policy: str
    model_version: str


TokenErrorCode = Literal["forged", "malformed"]
FORGED: TokenErrorCode = "forged"
MALFORMED: TokenErrorCode = "malformed"


class TokenError(ContractError):
    """A token that says nothing that can be trusted: `forged` (not signed with our secret) or `malformed` (no token at all)."""

    def __init__(self, code: TokenErrorCode) -> None:
        self.code: TokenErrorCode = code
        super().__init__(
            expected="a token signed with our secret", got=f"a {code} one", where="tracking_token", do="send back what was served"
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TokenClaims)


def sign(secret: bytes, claims: TokenClaims) -> str:
    """Sign the claims of one served item.

    token = base64url(msgpack(claims) ‖ blake2b-128(secret, msgpack(claims))), without padding.

    Parameters
    ----------
    secret
        The key, 16 to 64 bytes.
    claims
        What the token says; anybody can read it, nobody without the secret can change it.

    Returns
    -------
    str
        The token; empty where the ids are so long that it would exceed the contract's 1,024 characters (such an item is served untracked).

    Raises
    ------
    ValueError
        If the secret is shorter than 16 or longer than 64 bytes.

    Examples
    --------
    >>> claims = TokenClaims("r1", "v1", 0, 1_650_000_000_000, 1.0, "greedy", "7")
    >>> verify(b"0123456789abcdef", sign(b"0123456789abcdef", claims)) == claims
    True
    """
    _check(secret)
    return _sealed(secret, _encoder.encode(claims))


def sign_page(
    secret: bytes,
    *,
    request_id: str,
    video_ids: Sequence[str],
    now_ms: int,
    propensities: Sequence[float],
    policy: str,
    model_version: str,
) -> list[str]:
    """Sign a whole page, one token per item in the page's order; equal to `sign` of each.

    Raises
    ------
    ValueError
        If there are not as many propensities as items, or the secret has a wrong length.
    """
    _check(secret)
    pairs = zip(video_ids, propensities, strict=True)
    encode = _encoder.encode
    return [
        _sealed(secret, encode((request_id, video_id, position, now_ms, float(propensity), policy, model_version)))
        for position, (video_id, propensity) in enumerate(pairs)
    ]


def verify(secret: bytes, token: str) -> TokenClaims:
    """Return the claims of a token that we signed; whether it is too old or was used before is for the caller to say.

    Raises
    ------
    TokenError
        `malformed` if it is no base64url of a signed record, `forged` if the signature is not ours.
    ValueError
        If the secret has a wrong length.
    """
    _check(secret)
    try:
        data = a2b_base64(token.encode("ascii").translate(_FROM_URL) + b"=" * (-len(token) % 4), strict_mode=True)
    except (UnicodeEncodeError, Base64Error):
        raise TokenError(MALFORMED) from None
    if len(data) <= MAC_BYTES:
        raise TokenError(MALFORMED)
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not compare_digest(mac, _mac(secret, body)):
        raise TokenError(FORGED)
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TokenError(MALFORMED) from None


def _sealed(secret: bytes, body: bytes) -> str:
    token = b2a_base64(body + _mac(secret, body), newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")
    return token if len(token) <= MAX_TOKEN else ""


def _mac(secret: bytes, body: bytes) -> bytes:
    return blake2b(body, digest_size=MAC_BYTES, key=secret, person=_PERSON).digest()


def _check(secret: bytes) -> None:
    if not MIN_SECRET_BYTES <= len(secret) <= blake2b.MAX_KEY_SIZE:
        message = f"expected a secret of {MIN_SECRET_BYTES} to {blake2b.MAX_KEY_SIZE} bytes, got {len(secret)}, at secret"
        raise ValueError(message)
