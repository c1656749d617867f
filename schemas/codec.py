"""The one codec: JSON for topics, msgpack for rows of the store; validated where bytes come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from schemas.dlq import ReasonCode
from schemas.errors import ContractError
from schemas.explain import malformed, wrong_type

M = TypeVar("M")

_json_encoder = msgspec.json.Encoder()
_msgpack_encoder = msgspec.msgpack.Encoder()


class DecodeError(ContractError):
    """A record that does not fit its contract: what was expected, what stood there instead, and where.

    `reason` is `malformed` (no such syntax), `wrong_type` (well-formed, but another shape), or what schemas.validity found.
    """

    def __init__(self, reason: ReasonCode, *, expected: str, got: str, path: str) -> None:
        self.reason = reason
        self.path = path
        super().__init__(expected=expected, got=got, where=path)


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_json_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_msgpack_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message for a topic."""
    return _json_encoder.encode(message)


def decode(kind: type[M], data: bytes) -> M:
    """Decode and validate a message from a topic.

    Raises
    ------
    DecodeError
        If the bytes are no JSON (or JSON that is nested too deep to be read), or do not fit `kind`.
    """
    decoder = _json_decoders.get(kind)
    if decoder is None:
        decoder = _json_decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message: M = decoder.decode(data)
    except _UNREADABLE as error:
        raise _explained(kind, error, data, msgspec.json.decode) from None
    return message


def pack(row: msgspec.Struct) -> bytes:
    """Encode a row for the store."""
    return _msgpack_encoder.encode(row)


def unpack(kind: type[M], data: bytes) -> M:
    """Decode and validate a row from the store.

    Raises
    ------
    DecodeError
        If the bytes are no msgpack, or do not fit `kind`.
    """
    decoder = _msgpack_decoders.get(kind)
    if decoder is None:
        decoder = _msgpack_decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        row: M = decoder.decode(data)
    except _UNREADABLE as error:
        raise _explained(kind, error, data, msgspec.msgpack.decode) from None
    return row


def _explained(kind: type, error: Exception, data: bytes, read: Callable[[bytes], Any]) -> DecodeError:
    if isinstance(error, msgspec.ValidationError):
        return DecodeError(ReasonCode.WRONG_TYPE, **wrong_type(kind, error, data, read)._asdict())
    detail = "nested too deep" if isinstance(error, RecursionError) else str(error)
    return DecodeError(ReasonCode.MALFORMED, **malformed(data, detail)._asdict())
