"""The secret of tracking tokens: from the settings, else from a file that the first part to need it makes."""

from __future__ import annotations

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from schemas.settings import Settings

TOKEN_KEY_BYTES = 32
TOKEN_KEY_FILE = "token.key"


def token_secret(settings: Settings) -> bytes:
    """Return the 32-byte secret that feed signs with and labels verifies with.

    `settings.token_secret` of any length is hashed to 32 bytes; without it `<home>/token.key` is read, and made first (random, readable
    by its owner only) where it is missing. Processes that start together all end up with the same file.

    Raises
    ------
    ValueError
        If the file does not hold exactly 32 bytes.
    """
    if settings.token_secret is not None:
        return blake2b(settings.token_secret.get_secret_value().encode(), digest_size=TOKEN_KEY_BYTES).digest()
    path = settings.home / TOKEN_KEY_FILE
    if not path.exists():
        _make(path)
    secret = path.read_bytes()
    if len(secret) != TOKEN_KEY_BYTES:
        message = f"expected {TOKEN_KEY_BYTES} bytes, got {len(secret)}, at {path}; remove the file and start again"
        raise ValueError(message)
    return secret


def _make(path: Path) -> None:
    # Written whole under another name, then linked: a second process either finds nothing or all of it, and the first link wins.
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(TOKEN_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
