"""Takes out what could name a person: pseudonyms for devices, nothing personal in free text."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

from schemas.telemetry import Context

REDACTED = "[redacted]"
MAX_TEXT = 256
"""Characters of the longest string of a context: longer ones take long to search, and whoever counts by region or surface keeps them."""
MAX_CACHED = 512
"""Characters of the longest context that is remembered with its redacted form; those that clients repeat are short."""

_PERSONAL = re.compile(
    r"""
    [^\s@]+@[^\s@]+\.[^\s@]+            # e-mail address
    | (?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])   # IPv4 address
    | (?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}   # IPv6 address
    | (?<![\w-])\+?\d[\d\s()/-]{8,}\d(?![\w-])     # telephone number
    """,
    re.VERBOSE,
)


class Scrubber:
    """Replaces personal data.

    A device id becomes a keyed hash: the same device keeps the same pseudonym, and without the key nobody can tell whose it is. E-mail
    addresses, IP addresses and telephone numbers in the strings of a context are redacted, strings of more than 256 characters whole.

    Parameters
    ----------
    key : bytes
        At most 64 bytes; with another key all pseudonyms change.

    Examples
    --------
    >>> scrubber = Scrubber(key=b"k")
    >>> scrubber.device("phone-1") == scrubber.device("phone-1") != scrubber.device("phone-2")
    True
    >>> context = scrubber.context(Context(session_id="ann@example.org", region="DE"))
    >>> context.session_id, context.region
    ('[redacted]', 'DE')
    """

    def __init__(self, *, key: bytes) -> None:
        self.key = key
        self._device = lru_cache(maxsize=65_536)(self._pseudonym)
        self._context = lru_cache(maxsize=65_536)(_without_personal)

    def device(self, device_id: str | None) -> str | None:
        """Return a device's pseudonym of 16 hexadecimal digits."""
        return None if device_id is None else self._device(device_id)

    def context(self, context: Context | None) -> Context | None:
        """Return a context without personal data."""
        if context is None:
            return None
        return self._context(context) if _length(context) <= MAX_CACHED else _without_personal(context)

    def _pseudonym(self, device_id: str) -> str:
        return blake2b(device_id.encode(), key=self.key, digest_size=8).hexdigest()


def _length(context: Context) -> int:
    return sum(len(text) for name in context.__struct_fields__ if (text := getattr(context, name)) is not None)


def _without_personal(context: Context) -> Context:
    texts = {name: getattr(context, name) for name in context.__struct_fields__}
    return Context(**{name: None if text is None else _redacted(text) for name, text in texts.items()})


def _redacted(text: str) -> str:
    return _PERSONAL.sub(REDACTED, text) if len(text) <= MAX_TEXT else REDACTED
