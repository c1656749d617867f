"""Takes out what could name a person: pseudonyms for devices, nothing personal in free text."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from schemas.locale import language_of, region_of
from schemas.telemetry import MAX_CONTEXT_TEXT, Context, is_one_line

REDACTED = "[redacted]"
MAX_CACHED = 16_384
"""Contexts that are remembered with their redacted form, at most 1.5 KB each: clients repeat them."""

_PERSONAL = re.compile(
    r"""
    [^\s@]+@[^\s@]+\.[^\s@]+            # e-mail address
    | (?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])   # IPv4 address
    | (?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}   # IPv6 address
    | (?<![\w-])\+?\d[\d\s()/-]{8,}\d(?![\w-])     # telephone number
    """,
    re.VERBOSE,
)


class Scrubbed(NamedTuple):
    """A context in canonical form without personal data, and how many of its fields were changed for that or left out."""

    context: Context | None
    cut: int


class Scrubber:
    """Replaces personal data.

    A device id becomes a keyed hash: the same device keeps the same pseudonym, and without the key nobody can tell whose it is. E-mail
    addresses, IP addresses and telephone numbers in the strings of a context are redacted; a region or a language that holds one, or a
    control character, is left out, and so is every string of more than MAX_CONTEXT_TEXT characters: it takes long to search. Region and
    language become canonical, and what is empty is unknown.

    Parameters
    ----------
    key : bytes
        At most 64 bytes; with another key all pseudonyms change.

    Examples
    --------
    >>> scrubber = Scrubber(key=b"k")
    >>> scrubber.device("phone-1") == scrubber.device("phone-1") != scrubber.device("phone-2")
    True
    >>> context, cut = scrubber.context(Context(session_id="ann@example.org", region="de", surface=""))
    >>> context.session_id, context.region, context.surface, cut
    ('[redacted]', 'DE', None, 1)
    """

    def __init__(self, *, key: bytes) -> None:
        self.key = key
        self._device = lru_cache(maxsize=65_536)(self._pseudonym)
        self._context = lru_cache(maxsize=MAX_CACHED)(_without_personal)

    def device(self, device_id: str | None) -> str | None:
        """Return a device's pseudonym of 16 hexadecimal digits."""
        return None if device_id is None else self._device(device_id)

    def context(self, context: Context | None) -> Scrubbed:
        """Return a context without personal data, None where nothing of it is known.

        A subclass may hold texts longer than the contract has them; such contexts are not remembered.
        """
        if context is None:
            return _NOTHING
        return self._context(context) if type(context) is Context else _without_personal(context)

    def _pseudonym(self, device_id: str) -> str:
        return blake2b(device_id.encode(), key=self.key, digest_size=8).hexdigest()


def _without_personal(context: Context) -> Scrubbed:
    said = {name: text for name in context.__struct_fields__ if (text := getattr(context, name))}
    kept: dict[str, str] = {}
    for name, text in said.items():
        redacted = _PERSONAL.sub(REDACTED, text) if len(text) <= MAX_CONTEXT_TEXT else None
        if name not in _CANONICAL:
            kept[name] = redacted or ""
        elif redacted == text and is_one_line(text):
            kept[name] = _CANONICAL[name](text) or ""
            said[name] = kept[name]
    cut = sum(kept.get(name) != text for name, text in said.items())
    known = {name: text for name, text in kept.items() if text}
    return Scrubbed(Context(**known) if known else None, cut)


_CANONICAL = {"region": region_of, "language": language_of}
_NOTHING = Scrubbed(None, 0)
