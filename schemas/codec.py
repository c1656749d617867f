"""The one codec: JSON for topics, msgpack for rows of the store; validated where bytes come in."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

M = TypeVar("M")

_json_encoder = msgspec.json.Encoder()
_msgpack_encoder = msgspec.msgpack.Encoder()


class DecodeError(ValueError):
    """Bytes that do not fit their contract: `malformed` (no such syntax) or `wrong_type` (well-formed, but another shape)."""

    def __init__(self, *, malformed: bool, detail: str, path: str) -> None:
        self.malformed = malformed
        self.detail = detail
        self.path = path
        super().__init__(f"{detail}, at {path}")


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
        raise _explained(error) from None
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
        raise _explained(error) from None
    return row


def _explained(error: Exception) -> DecodeError:
    if isinstance(error, RecursionError):
        return DecodeError(malformed=True, detail="JSON nested too deep", path="$")
    if not isinstance(error, msgspec.ValidationError):
        return DecodeError(malformed=True, detail=str(error), path="$")
    detail, _, path = str(error).partition(" - at `")
    return DecodeError(malformed=False, detail=detail, path=path.rstrip("`") or "$")
